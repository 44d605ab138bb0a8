"""The session in a notebook: which view is shown of which scan, and what is sent to the canvas."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.scales import WINDOW, limits
from napari_vqad.display.shown_maps import ShownMaps, in_window, state_in_words
from napari_vqad.display.views import MEAN, SCAN, map_of, views_of
from napari_vqad.engine.store import CACHE_BYTES
from napari_vqad.imaging.volume import Volume
from napari_vqad.notebook.runner import ThreadRunner
from napari_vqad.notebook.volumes import heat_steps, outlines, window_steps
from napari_vqad.scoring import Result, prepare
from napari_vqad.session import ExplorerSession

Mask = str | Path | np.ndarray | None
FIRST = "Score"  # the view once there are maps


class NotebookSession(ExplorerSession):
    """One scan, the model that analyses it, the view, and the pictures of the maps.

    Attributes:
        lock: held by all who call the session (see `ThreadRunner`).
        result: the analysis; None while the scan is being prepared.
        error: why the last work has failed; None if it has not.
    """

    shown = Signal(np.ndarray, str)  # the picture of the map: uint8 on the view (`volumes.colours`), and `Between`

    def __init__(self, volume: Volume, settings: Settings, on_error: Callable[[Exception], None]) -> None:
        self.lock = threading.RLock()
        self.volume = volume
        self.result: Result | None = None
        self.error: Exception | None = None
        self.view, self.which = SCAN, MEAN
        self._on_error = on_error
        self._pictures: ShownMaps | None = None
        self._on_view: dict[str, NDArray] = {}  # each map on the voxels of the view, as it was last drawn
        self._sent: tuple = ()  # what the canvas shows
        self.runner = ThreadRunner(self.lock, self._failed)
        super().__init__(settings, CACHE_BYTES, self.runner)
        self.reviewing = True

    # ---- analysis ---------------------------------------------------------------------------------------------------

    def analyse(self, model: Callable[[], Bundle], mask: Mask = None) -> None:
        """Prepare the scan for a model in the background, then analyse it; the previous analysis stays until then.

        `model` loads the model. Without a mask, that of the previous analysis is used, or one is computed.
        """
        self.cancel()
        self.error = None
        self.run(self._prepare(model, mask, self.result), self._on_prepared)

    def _prepare(self, model: Callable[[], Bundle], mask: Mask, known: Result | None) -> Iterator[str | Result]:
        yield "Loading the model …"
        bundle = model()
        if known is not None:
            mask = known.mask
        yield "Making the brain mask …" if mask is None else "Aligning the scan …"
        for news in prepare(self.volume, bundle, mask, bundle.coerce(self.settings), self.cache_bytes):
            if isinstance(news, Result):
                yield news if known is None else replace(news, mask_note=known.mask_note, files=known.files)

    def _on_prepared(self, news: str | Result) -> None:
        if isinstance(news, str):
            self.advanced.emit(news)
            return
        explorer = news.explorer
        if self.explorer is not None and self.explorer.grid.axis == explorer.grid.axis:
            explorer.focus = explorer.grid.slice_of(self.explorer.grid.slice_mm(self.explorer.focus))
        self.open(explorer)
        self.result = Result(explorer, news.volume, news.mask, news.mask_note, self.review, files=news.files)
        self.note = " ".join([*news.volume.notes, news.mask_note, *explorer.grid.remarks])
        self._pictures, self._on_view, self._sent = ShownMaps(explorer), {}, ()
        names = [view.name for view in views_of(explorer.maps)]
        if self.view == SCAN or self.view not in names:
            self.view = FIRST if FIRST in names else names[-1]
        self.opened.emit()

    def work(self) -> None:
        """Start computing what is missing."""
        self.error = None
        super().work()

    def _failed(self, error: Exception) -> None:
        self.error = error
        self._on_error(error)

    # ---- view -------------------------------------------------------------------------------------------------------

    @property
    def shown_map(self) -> str | None:
        """The name of the map that is shown; None for the scan alone."""
        return None if self.explorer is None else map_of(self.explorer.maps, self.view, self.which)

    def show(self, view: str, which: int = MEAN) -> None:
        """Show a view, of the restorations their mean, SD or one of them (see `display.views`)."""
        self.view, self.which = view, which
        self.redraw_now()

    def redraw_now(self) -> None:
        """Draw at once, even if the slice in view is being computed."""
        if self.explorer is not None:
            self.draw()
            self.drawn.emit()

    def draw(self) -> None:
        """Send the picture of the map in view to the canvas, if it has changed."""
        name, explorer, pictures = self.shown_map, self.explorer, self._pictures
        if explorer is None or pictures is None:
            return
        if name is None:
            if self._sent != ("",):
                self._sent = ("",)
                self.shown.emit(np.zeros(explorer.grid.view.shape, np.uint8), "nearest")
            return
        j = max(0, self.which - 1)
        if (stack := pictures.newest(name, j)) is not None:
            self._on_view[name] = pictures.on_view(name, stack)
        values = self._on_view[name]
        ends = self.ends
        sent = name, id(values), ends
        if sent == self._sent:
            return
        self._sent = sent
        if name in in_window(explorer.maps):
            self.shown.emit(window_steps(values, WINDOW), "inside")
        elif name == "flagged":
            self.shown.emit(outlines(values > 0), "nearest")
        else:
            assert ends is not None
            self.shown.emit(heat_steps(values, ends), "linear")

    @property
    def ends(self) -> tuple[float, float] | None:
        """The values of the darkest and the brightest colour of the map in view; None if it is not shown in colour."""
        return None if self.explorer is None else limits(self.explorer).get(self.shown_map or "")

    def state(self, along: bool) -> tuple[bool, str]:
        """Is the picture out of date, and what is missing (see `display.shown_maps`)?"""
        explorer, name = self.explorer, self.shown_map
        if explorer is None or name is None or self._pictures is None:
            return False, ""
        return state_in_words(explorer, self._pictures, name, self.running, along)

    # ---- slices -----------------------------------------------------------------------------------------------------

    def frame_mm(self, index: NDArray) -> NDArray:
        """Canonical voxel index (3,) → mm (R, A, S) of the scan's diagonal frame."""
        return (self.volume.frame.to_mm @ [*index, 1.0])[:3]

    def look_at(self, index: NDArray) -> bool:
        """Note where the cross-hair is; returns whether another slice is in view now."""
        if self.explorer is None:
            return False
        grid, before = self.explorer.grid, self.explorer.focus
        self.explorer.focus = grid.slice_of(float(self.frame_mm(index)[grid.axis]))
        return self.explorer.focus != before

    def index_of_slice(self, i: int, at: NDArray) -> NDArray:
        """The canonical voxel index in slice i of the grid, otherwise as `at`."""
        assert self.explorer is not None
        grid, mm = self.explorer.grid, self.frame_mm(at)
        mm[grid.axis] = grid.slice_mm(i)
        return (np.linalg.inv(self.volume.frame.to_mm) @ [*mm, 1.0])[:3]

    def index_of_mm(self, mm: tuple[float, float, float]) -> NDArray:
        """Scanner mm (R, A, S) → canonical voxel index (3,)."""
        return (np.linalg.inv(self.volume.affine) @ [*mm, 1.0])[:3]
