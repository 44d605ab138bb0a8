"""An interactive analysis without a GUI: settings that change during the work, findings, and a reader's review.

The napari plugin and notebooks build on it. It uses neither Qt nor napari: the front-end provides a runner, which runs
generators in the background and calls back in the main thread.
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

REDRAW = 0.5  # s between redraws while the worker is busy with slices that are not in view
OnStep = Callable[[Any], None]
OnEnd = Callable[[bool, bool], None]


class Runner(Protocol):
    """Runs one generator at a time in the background."""

    muted: bool  # True while the front-end is closed: no callback is called

    @property
    def running(self) -> bool:
        """Is a generator running?"""

    def start(self, steps: Iterator, on_step: OnStep, on_end: OnEnd) -> None:
        """Run `steps` and stop the generator that was running.

        `on_step` is called with each step, `on_end` with whether it was aborted and whether it failed; both in the
        main thread, or under the lock that all calls of the session hold.
        """

    def quit(self) -> None:
        """Stop at the next step."""

    def detach(self) -> None:
        """Stop at the next step, without any further callback."""


class ExplorerSession:
    """The explorer of one scan, the settings that the user chose, and the reader's review of the findings.

    A front-end overrides `draw` and `shown_map`, calls `open` with an explorer that holds a scan, and connects to the
    signals. Call all methods in the main thread, or each under one lock that the runner's callbacks hold, too.

    Attributes:
        settings: the user's settings; the explorer may get some of them later.
        explorer: None while no scan is open.
        note: remarks on the scan, sentences.
        review: verdicts and notes on the findings.
        reviewing, boxed: is the list of findings open; are their boxes shown? Findings are computed only if one is.
    """

    opened = Signal()  # another scan or bundle was opened
    emptied = Signal()  # the scan was closed
    settled = Signal()  # settings changed
    advanced = Signal(str)  # how far the work is, in words
    progressed = Signal(int, int)  # slices done, and slices in total
    busy = Signal(bool)
    drawn = Signal()  # the picture was updated

    def __init__(self, settings: Settings, cache_bytes: int, runner: Runner) -> None:
        self.settings = settings
        self.cache_bytes = cache_bytes
        self.explorer: Explorer | None = None
        self.note = ""
        self.review = Review()
        self.verdicts = Verdicts(self.review)
        self.reviewing = self.boxed = False
        self._listed: list[np.ndarray] = []  # the maps that the list of findings was made from
        self._runner = runner
        self._changed: set[str] = set()  # maps with new content since they were last drawn
        self._changed_lock = threading.Lock()  # the worker also adds to `_changed`
        self._workers: set[int] = set()  # the threads that run generators now
        self._giving_settings = False  # True while settings go to the explorer; drawing waits until that is done
        self._drawn = 0.0
        self._closed = False
        self._in_view = False  # was the map of the slice in view final at the last step?

    # ---- methods that a front-end overrides -------------------------------------------------------------------------

    def draw(self) -> None:
        """Update the picture."""

    @property
    def shown_map(self) -> str | None:
        """The name of the map that is shown; None for the scan alone."""
        return None

    # ---- actions of the user ----------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Is the worker running?"""
        return self._runner.running

    def open(self, explorer: Explorer, settings: Settings | None = None) -> None:
        """Use another explorer.

        Args:
            explorer: holds a scan.
            settings: the settings of a saved study. Without them, the session's settings are used, changed where the
                bundle does not allow them.
        """
        if self.explorer is not None:
            self.explorer.changed.disconnect(self._on_changed)
        self.explorer = explorer
        explorer.changed.connect(self._on_changed)
        self.settings = settings or explorer.bundle.coerce(self.settings)
        self._listed, self._changed = [], set(explorer.maps)
        self.verdicts.begin(explorer)

    def restore(self, words: dict[Peaks, Annotation]) -> None:
        """Load the verdicts and notes of a saved study into the review."""
        self.review.restore(words)
        self.verdicts.saved(self.verdicts.scan, words)

    def change(self, **updates: Any) -> None:
        """Change settings. Cheap changes are drawn at once, the others start the worker.

        Raises:
            pydantic.ValidationError: a value is invalid.
        """
        settings = Settings.model_validate(self.settings.model_dump() | updates)
        if settings == self.settings:
            return
        axis_changed = settings.axis != self.settings.axis
        replaced = self.explorer.bundle.replaced(settings) if self.explorer is not None else []
        self.settings = self.explorer.bundle.coerce(settings) if replaced and self.explorer is not None else settings
        if self.explorer is not None:
            if self._give_settings():
                self.work()
                self.advanced.emit("Settings have changed: restoring …")
            self.redraw()
            if axis_changed:
                self.advanced.emit("The scan axis has changed: press Analyse.")
            self.list_findings()
        if replaced:
            self.advanced.emit(" ".join(replaced))
        self.settled.emit()

    def cancel(self) -> None:
        """Stop the work before the current batch ends; finished slices are kept."""
        if self.explorer is not None:
            self.explorer.cancel()
        self._runner.quit()

    def close(self, closed: bool = True) -> None:
        """Stop the work and drawing; with False allow them again, as when a window is shown again."""
        self._closed = closed
        self._runner.muted = closed
        if closed:
            self.cancel()

    def clear(self) -> int:
        """Forget the scan and its results.

        Returns the number of verdicts and notes that are restored if the same scan is analysed again.
        """
        if self.explorer is not None:
            self.explorer.cancel()
            self.explorer.changed.disconnect(self._on_changed)
        self.explorer, self.note = None, ""
        self._listed = []
        return self.verdicts.leave()

    def unsaved_words(self) -> list[str]:
        """The verdicts and notes that would be lost if the session closed now, as sentences."""
        if not (n := self.verdicts.unsaved):
            return []
        what = "1 verdict or note is" if n == 1 else f"{n} verdicts and notes are"
        return [f"{what} not saved in a study, report or table yet."]

    # ---- slices and findings ----------------------------------------------------------------------------------------

    def current(self) -> int:
        """The slice in view."""
        return self.explorer.focus if self.explorer else 0

    def flagged_after(self, step: int) -> int | None:
        """The next (1) or previous (−1) flagged slice in slider order, wrapping around; None if none is flagged."""
        if self.explorer is None:
            return None
        flagged = np.flatnonzero(self.explorer.flagged_slices())
        if not len(flagged):
            self.advanced.emit("No slice is flagged; lower the threshold for slices.")
            return None
        return slice_numbers.following(self.explorer.grid, self.current(), flagged, step)

    def list_findings(self) -> None:
        """Update the findings if their list or boxes are shown; mark them stale until the maps are complete."""
        explorer = self.explorer
        if not (self.reviewing or self.boxed) or explorer is None or explorer.grid.kind != "head":
            return
        if not explorer.complete:
            later = "findings are listed when all slices are done."
            self.review.mark_stale(f"From earlier settings; new {later}" if self.review.found else later.capitalize())
            return
        shown = [explorer.map(name) for name in ("flagged", "pixel_score", *tuple(explorer.maps)[:1])]
        alike = len(self._listed) == len(shown) and all(a is b for a, b in zip(shown, self._listed, strict=True))
        if self.review.note or not alike:
            self._listed = shown
            self.review.set_findings(findings(explorer))

    # ---- work -------------------------------------------------------------------------------------------------------

    def work(self) -> None:
        """Start computing what is missing. A running worker need not be restarted: it uses the newest settings."""
        if not self._runner.running and self.explorer is not None:
            self.run(self.explorer.work(), self._on_progress)

    def run(self, steps: Iterator, on_step: OnStep) -> None:
        """Run a generator, then compute what is missing."""

        def ended(aborted: bool, failed: bool) -> None:
            self.on_end()
            self.redraw()
            self.busy.emit(False)
            of_work = on_step == self._on_progress
            if failed:  # it would fail again
                return
            if self.explorer is not None and not of_work and not aborted:
                self.work()
            elif aborted:
                self.advanced.emit("Cancelled; finished slices are kept.")
            elif self._give_settings():
                self.work()
            elif self.explorer is not None and of_work:
                self.advanced.emit("Ready.")
                self.list_findings()
                self.settled.emit()

        self._runner.start(self._in_worker(steps), on_step, ended)
        self.busy.emit(True)

    def _in_worker(self, steps: Iterator) -> Iterator:
        """The same generator; notes which thread runs it."""
        worker = threading.get_ident()
        self._workers.add(worker)
        try:
            yield from steps
        finally:
            self._workers.discard(worker)

    def on_end(self) -> None:
        """Called when a generator of `run` has finished, failed or was aborted."""

    def redraw(self) -> None:
        """Draw what has changed. While the slice in view is being computed, its old picture stays for a while."""
        explorer = self.explorer
        if explorer is None or self._closed or self._giving_settings:
            return
        recent = time.monotonic() - self._drawn < 2 * REDRAW
        if recent and self._runner.running and not self._is_final_in_view(explorer):
            return
        with self._changed_lock:
            self._changed.clear()
        self.draw()
        self._drawn = time.monotonic()
        self.drawn.emit()

    def _on_progress(self, progress: Progress) -> None:
        explorer, was = self.explorer, self._in_view
        assert explorer is not None  # after `clear` no steps are received
        # The score of the slice in view may become final with the last of its neighbours.
        self._in_view = self._is_final_in_view(explorer)
        soon = explorer.focus in progress.slices or (self._in_view and not was)
        if self._changed and (soon or time.monotonic() - self._drawn > REDRAW):
            self.redraw()  # the picture comes before the numbers
        self.advanced.emit(str(progress))
        self.progressed.emit(progress.done, progress.total)
        self._give_settings()  # settings that were held back

    def _on_changed(self, maps: set[str]) -> None:
        """Note maps with new content. Draw at once, unless the worker changed them: it is drawn with its next step."""
        with self._changed_lock:
            self._changed |= maps
        if threading.get_ident() not in self._workers:
            self.redraw()

    def _is_final_in_view(self, explorer: Explorer) -> bool:
        return bool(explorer.ready(self.shown_map or next(iter(explorer.maps), "pixel_score"))[explorer.focus])

    def _give_settings(self) -> bool:
        """Give the settings to the explorer. Returns whether there is something to compute.

        Another axis waits for the next analysis. Settings that need the networks wait while the slice in view is being
        restored. So a drag of a slider shows a series of pictures; if each setting interrupted the last, it would show
        none.
        """
        explorer = self.explorer
        if explorer is None:
            return False
        in_view = self._runner.running and explorer.focus in explorer.restoring
        waits = ("axis", *(explorer.settings_of_stages() if in_view else ()))
        self._giving_settings = True
        try:
            kept = {name: getattr(explorer.settings, name) for name in waits}
            return explorer.change(self.settings.model_copy(update=kept))
        finally:
            self._giving_settings = False
