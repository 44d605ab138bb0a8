"""Runs a sweep in a worker thread, beside the analysis that the user sees."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.scan_sweep import SweptPoint, scan_case, stored_points, sweep_scan
from napari_vqad.evaluate.settings_grid import GridPoint
from napari_vqad.evaluate.sweep_pace import SweepProgress

PAUSE = 0.05  # s between two looks whether the analysis on screen is done
WAITS = "The sweep waits for the analysis on screen."


class SweepRun:
    """One sweep, with an explorer of its own that begins with the results of the explorer on screen.

    No slice is encoded twice, and the analysis on screen does not change. While that works, the sweep waits.
    """

    def __init__(
        self,
        explorer: Explorer,
        mask: NDArray[np.bool_],
        base: Settings,
        points: Sequence[GridPoint],
        label: NDArray[np.bool_] | None = None,
        keep: Path | None = None,
        busy: Callable[[], bool] = lambda: False,
        cache_bytes: int = 128 * 2**20,
    ) -> None:
        """Prepare a sweep.

        Args:
            explorer: the explorer on screen.
            mask: the brain mask that it was given, bool (R, A, S).
            base: values of the settings that are not in the grid.
            points: the points to analyse.
            label: the label on the scan's voxels, bool (R, A, S); None if there is none.
            keep: folder of results, to go on later; None to write none.
            busy: is the explorer on screen at work?
            cache_bytes: memory budget for the results of the networks.
        """
        self._shown, self._mask, self._label = explorer, mask, label
        self._base, self._points, self._keep = base, points, keep
        self._busy, self._cache_bytes = busy, cache_bytes
        self._explorer: Explorer | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Stop at the next step of the networks. Points that are done stay done. Any thread may call this."""
        self._cancelled = True
        if self._explorer is not None:
            self._explorer.cancel()

    def steps(self) -> Iterator[str | SweptPoint | SweepProgress]:
        """Run the sweep: yield each point when it is done, progress, and words on what happens.

        Raises:
            InputError: a result cannot be written, or memory is too small.
        """
        yield from self._waiting()
        if self._cancelled:
            return
        yield "Preparing the sweep …"
        shown = self._shown
        own = Explorer(shown.bundle, shown.settings, self._cache_bytes)
        own.resume(shown.scan, self._mask, shown.grid, shown.stages())
        own.focus = shown.focus
        self._explorer = own
        case = scan_case(own.grid, self._mask, self._label)
        cache = stored_points(self._keep, own.bundle)
        labelled = self._label is not None
        for news in sweep_scan(own, self._base, self._points, case, labelled, cache, lambda: self._cancelled):
            yield news
            yield from self._waiting()

    def _waiting(self) -> Iterator[str]:
        if self._busy() and not self._cancelled:
            yield WAITS
        while self._busy() and not self._cancelled:
            time.sleep(PAUSE)
