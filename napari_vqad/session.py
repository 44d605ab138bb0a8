"""An interactive analysis without a screen: settings that change while work goes on, findings, and a reader's review.

The desktop and a notebook build on it. It knows neither Qt nor napari: a runner, which the front-end brings, runs
generators beside the main thread and calls back in it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from psygnal import Signal

from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.progress import Progress
from napari_vqad.findings.findings import findings
from napari_vqad.findings.review import Annotation, Peaks, Review
from napari_vqad.findings.verdicts import Verdicts
from napari_vqad.imaging import slice_numbers

REDRAW = 0.5  # s between redraws while work goes on elsewhere than in view
OnStep = Callable[[Any], None]
OnEnd = Callable[[bool, bool], None]


class Runner(Protocol):
    """Runs one generator at a time beside the main thread."""

    muted: bool  # nothing is called back: the front-end is closed

    @property
    def running(self) -> bool:
        """Is a generator under way?"""

    def start(self, steps: Iterator, on_step: OnStep, on_end: OnEnd) -> None:
        """Run `steps` instead of what was under way.

        `on_step` is called with each step, `on_end` with whether it was aborted and whether it failed; both in the
        main thread.
        """

    def quit(self) -> None:
        """Stop at the next step."""

    def detach(self) -> None:
        """Stop at the next step, and call nothing back any more."""


class ExplorerSession:
    """One scan under one explorer at a time, and what a reader does with it.

    A front-end overrides `draw` and `shown_map`, calls `open` with an explorer that holds a scan, and connects to the
    signals. All methods are called in the main thread.

    Attributes:
        settings: what the user chose; the explorer may get a part of it a moment later.
        explorer: None while nothing is explored.
        note: what was noticed about the scan, sentences.
        review: verdicts and notes on the findings.
        reviewing, boxed: is the list of findings seen, are their boxes? Only then are findings listed.
    """

    opened = Signal()  # another scan or bundle is being explored
    emptied = Signal()  # nothing is explored any more
    settled = Signal()  # settings changed
    advanced = Signal(str)  # how far the work is, in words
    progressed = Signal(int, int)  # slices done, and of how many
    busy = Signal(bool)
    drawn = Signal()  # the picture was brought up to date

    def __init__(self, settings: Settings, cache_bytes: int, runner: Runner) -> None:
        self.settings = settings
        self.cache_bytes = cache_bytes
        self.explorer: Explorer | None = None
        self.note = ""
        self.review = Review()
        self.verdicts = Verdicts(self.review)
        self.reviewing = self.boxed = False
        self._listed: list[np.ndarray] = []  # the maps that the list of findings was made of
        self._runner = runner
        self._changed: set[str] = set()  # maps with new content since they were last drawn
        self._changing = threading.Lock()  # the worker adds to `_changed`, too
        self._main = threading.get_ident()
        self._holding = False  # are settings being handed on, to be drawn once when that is done?
        self._drawn = 0.0
        self._closed = False
        self._in_view = False  # was the map of the slice in view final at the last step?

    # ---- what a front-end brings ------------------------------------------------------------------------------------

    def draw(self) -> None:
        """Bring the picture up to date."""

    @property
    def shown_map(self) -> str | None:
        """The map that is shown; None for the scan alone."""
        return None

    # ---- what the user does -----------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Does work go on?"""
        return self._runner.running

    def open(self, explorer: Explorer, settings: Settings | None = None) -> None:
        """Explore a scan that an explorer holds.

        Args:
            explorer: holds a scan.
            settings: those of a saved study; without them, those of the session as far as the bundle allows them.
        """
        if self.explorer is not None:
            self.explorer.changed.disconnect(self._on_changed)
        self.explorer = explorer
        explorer.changed.connect(self._on_changed)
        self.settings = settings or explorer.bundle.coerce(self.settings)
        self._listed, self._changed = [], set(explorer.maps)
        self.verdicts.begin(explorer)

    def restore(self, words: dict[Peaks, Annotation]) -> None:
        """Take over the verdicts and notes of a saved study."""
        self.review.restore(words)
        self.verdicts.saved(self.verdicts.scan, words)

    def change(self, **updates: Any) -> None:
        """Take new settings; what is cheap shows at once, the rest is worked on.

        Raises:
            pydantic.ValidationError: a value does not fit.
        """
        settings = Settings.model_validate(self.settings.model_dump() | updates)
        if settings == self.settings:
            return
        axis_changed = settings.axis != self.settings.axis
        self.settings = settings
        if self.explorer is not None:
            if self._give_settings():
                self.work()
                self.advanced.emit("Settings have changed: restoring …")
            self.redraw()
            if axis_changed:
                self.advanced.emit("Another scan axis: press Analyse.")
            self.list_findings()
        self.settled.emit()

    def cancel(self) -> None:
        """Stop the work within a batch; what is done stays."""
        if self.explorer is not None:
            self.explorer.cancel()
        self._runner.quit()

    def close(self, closed: bool = True) -> None:
        """Stop, and draw nothing any more; with False go on, as when a window is shown again."""
        self._closed = closed
        self._runner.muted = closed
        if closed:
            self.cancel()

    def clear(self) -> int:
        """Forget what is explored, with all that was found in it.

        Returns how many verdicts and notes come back when the same scan is analysed again.
        """
        if self.explorer is not None:
            self.explorer.cancel()
            self.explorer.changed.disconnect(self._on_changed)
        self.explorer, self.note = None, ""
        self._listed = []
        return self.verdicts.leave()

    def unsaved_words(self) -> list[str]:
        """What would be lost if the session were closed now, besides work, a sentence each."""
        if not (n := self.verdicts.unsaved):
            return []
        what = "1 verdict or note is" if n == 1 else f"{n} verdicts and notes are"
        return [f"{what} in no study, report or table yet."]

    # ---- slices and findings ----------------------------------------------------------------------------------------

    def current(self) -> int:
        """The slice in view."""
        return self.explorer.focus if self.explorer else 0

    def flagged_after(self, step: int) -> int | None:
        """The next (1) or previous (−1) flagged slice, in the order of the slider, round the end; None without one."""
        if self.explorer is None:
            return None
        flagged = np.flatnonzero(self.explorer.flagged_slices())
        if not len(flagged):
            self.advanced.emit("No slice is flagged; lower the threshold for slices.")
            return None
        return slice_numbers.following(self.explorer.grid, self.current(), flagged, step)

    def list_findings(self) -> None:
        """Bring the list of findings up to date, if it is wanted; while maps are not complete, it says so instead."""
        explorer = self.explorer
        if not (self.reviewing or self.boxed) or explorer is None or explorer.grid.kind != "head":
            return
        if not explorer.complete:
            later = "listed when all slices are done."
            self.review.mark_stale(f"Of the settings before; {later}" if self.review.found else later.capitalize())
            return
        shown = [explorer.map(name) for name in ("flagged", "pixel_score", next(iter(explorer.maps)))]
        alike = len(self._listed) == len(shown) and all(a is b for a, b in zip(shown, self._listed, strict=True))
        if self.review.note or not alike:
            self._listed = shown
            self.review.set_findings(findings(explorer))

    # ---- work -------------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Work on what is missing, unless that goes on already: the explorer looks at the newest settings by itself."""
        if not self._runner.running and self.explorer is not None:
            self.run(self.explorer.work(), self._on_progress)

    def run(self, steps: Iterator, on_step: OnStep) -> None:
        """Run a generator; afterwards, what is missing is worked on."""

        def ended(aborted: bool, failed: bool) -> None:
            self.on_end()
            self.redraw()
            self.busy.emit(False)
            of_work = on_step == self._on_progress
            if failed:  # what failed once would fail again
                return
            if self.explorer is not None and not of_work and not aborted:
                self.work()
            elif aborted:
                self.advanced.emit("Cancelled; what was done is kept.")
            elif self._give_settings():
                self.work()
            elif self.explorer is not None and of_work:
                self.advanced.emit("Ready.")
                self.list_findings()
                self.settled.emit()

        self._runner.start(steps, on_step, ended)
        self.busy.emit(True)

    def on_end(self) -> None:
        """Called when a generator of `run` has ended, however it ended."""

    def redraw(self) -> None:
        """Draw what has changed; while the slice in view is worked on, what it showed stays."""
        explorer = self.explorer
        if explorer is None or self._closed or self._holding:
            return
        recent = time.monotonic() - self._drawn < 2 * REDRAW
        if recent and self._runner.running and not self._is_final_in_view(explorer):
            return
        with self._changing:
            self._changed.clear()
        self.draw()
        self._drawn = time.monotonic()
        self.drawn.emit()

    def _on_progress(self, progress: Progress) -> None:
        self.advanced.emit(str(progress))
        self.progressed.emit(progress.done, progress.total)
        explorer, was = self.explorer, self._in_view
        assert explorer is not None  # what goes on after it is gone is not heard
        # A score in view may come with the last of its neighbours.
        self._in_view = self._is_final_in_view(explorer)
        soon = explorer.focus in progress.slices or (self._in_view and not was)
        if self._changed and (soon or time.monotonic() - self._drawn > REDRAW):
            self.redraw()
        self._give_settings()  # those that waited

    def _on_changed(self, maps: set[str]) -> None:
        """Maps have new content. The worker's are drawn with its next step; those of whoever else, at once."""
        with self._changing:
            self._changed |= maps
        if threading.get_ident() == self._main:
            self.redraw()

    def _is_final_in_view(self, explorer: Explorer) -> bool:
        return bool(explorer.ready(self.shown_map or next(iter(explorer.maps)))[explorer.focus])

    def _give_settings(self) -> bool:
        """Hand the settings to the explorer; True when there is work.

        Another axis waits for the next analysis. What needs the networks waits for the slice in view if that is being
        restored: a drag then shows one picture after the other, where dropping each for the next would show none.
        """
        explorer = self.explorer
        if explorer is None:
            return False
        in_view = self._runner.running and explorer.focus in explorer.restoring
        waits = ("axis", *(explorer.settings_of_stages() if in_view else ()))
        self._holding = True
        try:
            kept = {name: getattr(explorer.settings, name) for name in waits}
            return explorer.change(self.settings.model_copy(update=kept))
        finally:
            self._holding = False
