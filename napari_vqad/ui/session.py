"""The session: which scan is explored with which settings, and the work that goes on for it. No widgets.

Views listen to its signals and call its methods; it alone owns the explorer, the layers and the worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image
from psygnal import Signal

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.progress import Progress
from napari_vqad.export.study import Study, open_study
from napari_vqad.findings.findings import Finding, findings
from napari_vqad.findings.review import Review
from napari_vqad.findings.verdicts import Verdicts
from napari_vqad.imaging import slice_numbers
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.layout import check_kind
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.canvas.fit_view import Fit
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import MapLayers
from napari_vqad.ui.layers.mask_input import given_mask
from napari_vqad.ui.layers.scan_watch import LayerWatch
from napari_vqad.ui.plumbing.connections import ViewerConnections
from napari_vqad.ui.plumbing.worker import WorkerSlot
from napari_vqad.ui.request import AnalysisRequest, PreparedScan

REDRAW = 0.5  # s between redraws while work goes on elsewhere than in view


class Session:
    """State of the dock. While there is an explorer, the layer of its scan is in the viewer."""

    opened = Signal()  # another scan or bundle is being explored
    emptied = Signal()  # nothing is explored any more: its scan is gone
    settled = Signal()  # settings changed
    advanced = Signal(str)  # how far the work is, in words
    progressed = Signal(int, int)  # slices done, and of how many
    busy = Signal(bool)
    moved = Signal()  # the slice in view changed
    reopened = Signal(Study)  # after `opened`, when it comes of a saved study
    drawn = Signal()  # the layers were brought up to date

    def __init__(self, connections: ViewerConnections, settings: Settings, cache_bytes: int) -> None:
        self.connections = connections
        self.viewer = viewer = connections.viewer
        self.settings = settings
        self.cache_bytes = cache_bytes
        self.explorer: Explorer | None = None
        self.prepared: PreparedScan | None = None
        self.note = ""
        self.map_layers = MapLayers(viewer)
        self.fit = Fit(connections)
        self.review = Review()
        self.reviewing = False  # is the list of findings to be seen?
        self.boxed = False  # are their boxes?
        self.verdicts = Verdicts(self.review)
        self._listed: list[np.ndarray] = []  # the maps that it was made of
        self._bundle: Bundle | None = None
        self._device = ""
        self._runner = WorkerSlot(self.advanced.emit)
        self._drawn = 0.0
        self._closed = False
        self._in_view = False  # was the map of the slice in view final at the last step?
        self._preparing = False  # is a scan on its way that is to be explored?
        self._offered: list[tuple[Image, Volume]] = []  # what `scans` has found
        self._shown, self._asked = LayerWatch(connections, self._lose), LayerWatch(connections, self._lose_asked)
        connections.on_close(self.map_layers.clear)
        connections.on_close(self.close)
        connections.connect(viewer.dims.events.point, self._on_point)
        connections.connect(viewer.layers.events.removed, self.map_layers.refresh_deferred)
        connections.connect(viewer.layers.events.removed, self.map_layers.on_removed)

    # ---- what the person does -------------------------------------------------------------------------------------

    def analyse(self, order: AnalysisRequest) -> None:
        """Load what is needed off the main thread, then work. What was explored before stays until that is ready."""
        self.cancel()
        self._asked.on(order.scan)
        self._start(self._prepare(order), self._on_prepared)

    def reopen(self, path: Path, scan: Volume | Path | None, bundles: list[Path], device: str) -> None:
        """Open a saved study; what was explored before stays until that is ready. Arguments as of `open_study`."""

        def steps() -> Iterator[str | PreparedScan]:
            yield "Opening the study …"
            study = open_study(path, scan, bundles=bundles, device=device, cache_bytes=self.cache_bytes)
            self._bundle, self._device = study.explorer.bundle, device
            yield PreparedScan(study.explorer, study.mask, study.mask_note, layer, study)

        layer = next((m for m, volume in self._offered if volume is scan), None)
        self.cancel()
        self._asked.on(layer)
        self._start(steps(), self._on_prepared)

    def losses(self) -> list[str]:
        """What would be lost if the window were closed now, a sentence each."""
        found = []
        if self.running:
            scan = self._asked.layer or self._shown.layer
            name = f" of '{scan.name}'" if scan is not None else ""
            found.append(f"The analysis{name} is not finished; it would be stopped.")
        if n := self.verdicts.unsaved:
            what = "1 verdict or note is" if n == 1 else f"{n} verdicts and notes are"
            found.append(f"{what} in no study, report or table yet.")
        return found

    @property
    def running(self) -> bool:
        """Does work go on?"""
        return self._runner.running

    @property
    def scan(self) -> Image | None:
        """The layer of the scan that is explored."""
        return self._shown.layer if self.explorer is not None else None

    def scans(self) -> list[Volume]:
        """The scans that are open in the viewer."""
        images = [m for m in self.viewer.layers if isinstance(m, Image) and m.ndim == 3 and not m.rgb]
        self._offered = [(m, placement.volume_of(m)) for m in images if "napari_vqad_grid" not in m.metadata]
        return [volume for _, volume in self._offered]

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
                self._work()
                self.advanced.emit("Settings have changed: restoring …")
            self.redraw()
            if axis_changed:
                self.advanced.emit("Another scan axis: press Analyse.")
            self.list_findings()
        self.settled.emit()

    def _give_settings(self) -> bool:
        """Hand the settings to the explorer; True when there is work.

        Another axis waits for the next Analyse. What needs the networks waits for the slice in view if that is being
        restored: a drag then shows one picture after the other, where dropping each for the next would show none.
        """
        explorer = self.explorer
        if explorer is None:
            return False
        in_view = self._runner.running and explorer.focus in explorer.restoring
        waits = ("axis", *(explorer.settings_of_stages() if in_view else ()))
        return explorer.change(self.settings.model_copy(update={n: getattr(explorer.settings, n) for n in waits}))

    def cancel(self) -> None:
        """Stop the work within a batch; what is done stays."""
        if self.explorer is not None:
            self.explorer.cancel()
        self._runner.quit()

    def close(self, closed: bool = True) -> None:
        """Stop, and touch nothing any more; or go on, when the window is shown again."""
        self._closed = closed
        self._runner.muted = closed
        if closed:
            self.cancel()

    # ---- the scan is gone -------------------------------------------------------------------------------------------

    def clear(self) -> int:
        """Forget what is explored, with all that was found in it, and stop the work on it.

        Returns how many verdicts and notes come back when the same scan is analysed again.
        """
        if self.explorer is not None:
            self.explorer.cancel()
        if not self._preparing:
            self._stop()
        self.explorer, self.prepared, self.note = None, None, ""
        self._listed = []
        self._shown.on(None)
        self.map_layers.leave()
        kept = self.verdicts.leave()
        self.emptied.emit()
        return kept

    def _lose(self, why: str) -> None:
        """The scan that is explored is not there any more."""
        kept = self.clear()
        if not self._preparing:
            back = " Its verdicts come back if it is analysed again in this window." if kept else ""
            self.advanced.emit(f"{why} What was found in it is cleared.{back}")

    def _lose_asked(self, why: str) -> None:
        """The scan that is being prepared is not there any more; what was explored before stays."""
        self._stop()
        self.advanced.emit(f"{why} Its analysis has ended.")

    def _stop(self) -> None:
        """End what is under way, and hear no more of it."""
        self._preparing = False
        self._runner.detach()
        self.busy.emit(False)

    # ---- slices ---------------------------------------------------------------------------------------------------

    def current(self) -> int:
        """The slice in view."""
        return self.explorer.focus if self.explorer else 0

    def go_to(self, index: int) -> None:
        """Bring a slice into view."""
        if self.explorer is not None and self.viewer.dims.ndim >= 3:  # else its layers are gone
            grid = self.explorer.grid
            self.viewer.dims.set_point(placement.canvas_axis(grid), placement.point_of(grid, index))

    def go_to_flagged(self, step: int) -> None:
        """Bring the next (1) or previous (−1) flagged slice into view, as the slider runs, round the end."""
        if self.explorer is None:
            return
        flagged = np.flatnonzero(self.explorer.flagged_slices())
        if not len(flagged):
            self.advanced.emit("No slice is flagged; lower the threshold for slices.")
            return
        following = slice_numbers.following(self.explorer.grid, self.current(), flagged, step)
        if following is not None:
            self.go_to(following)

    # ---- findings -------------------------------------------------------------------------------------------------

    def list_findings(self) -> None:
        """Bring the list of findings up to date, if it is seen; that of a scan whose maps are not all there waits."""
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

    def show_finding(self, finding: Finding) -> None:
        """Bring its centre into view; where the user has zoomed, into the middle of the canvas."""
        if self.explorer is None or self.explorer.volume is None:
            return
        dims, world = self.viewer.dims, placement.world_of(self.explorer.volume, finding.centre)
        if dims.ndim < 3:  # its layers are gone
            return
        first = dims.ndim - 3
        dims.set_point(range(first, dims.ndim), world)
        self.fit.show([world[d - first] for d in dims.displayed if d >= first])

    def _on_point(self) -> None:
        if self.explorer is not None and self.viewer.dims.ndim >= 3:
            self.explorer.focus = placement.slice_at(self.explorer.grid, self.viewer.dims.point)
            self.moved.emit()

    # ---- work -----------------------------------------------------------------------------------------------------

    def _prepare(self, order: AnalysisRequest) -> Iterator[str | PreparedScan]:
        yield "Reading the scan …"
        volume = placement.volume_of(order.scan)
        if self._bundle is None or (self._bundle.folder, self._device) != (order.bundle, order.device):
            yield "Loading the model …"
            self._bundle, self._device = Bundle.load(order.bundle, order.device), order.device
        check_kind(volume, self._bundle.config.grid)  # before the mask is made, which takes a while
        if order.mask is None:
            if volume.kind == "head":
                yield "Making the brain mask …"
            mask, note = make_mask(volume)
        else:
            mask, note = given_mask(order.mask, volume)
        explorer = Explorer(self._bundle, self._bundle.coerce(self.settings), self.cache_bytes)
        explorer.load_scan(volume, mask)
        files = (order.mask,) if isinstance(order.mask, Path) else ()
        yield PreparedScan(explorer, mask, note, order.scan, files=files)

    def _on_prepared(self, news: str | PreparedScan) -> None:
        if isinstance(news, str):
            self.advanced.emit(news)
            return
        study = news.study
        self._preparing = False
        self._asked.on(None)
        scan = self._layer_of(news)
        if scan is None:
            self.advanced.emit("The scan of the study is not open any more; open it, then the study.")
            return
        self.explorer, self.prepared = news.explorer, news
        self._shown.on(scan)
        self.settings = news.explorer.settings if study else news.explorer.bundle.coerce(self.settings)
        assert news.explorer.volume is not None  # a session opens scans, not bare grids
        self.note = " ".join([*news.explorer.volume.notes, news.note, *news.explorer.grid.remarks])
        self.map_layers.open(news.explorer, news.mask, scan)
        self.verdicts.begin(news.explorer)
        self._listed = []
        if study:
            self.review.restore(study.words)
            self.verdicts.saved(self.verdicts.scan, study.words)
        self.list_findings()
        self._give_settings()
        self._on_point()
        self.opened.emit()
        if study:
            self.go_to(study.slice)
            self.reopened.emit(study)

    def _layer_of(self, news: PreparedScan) -> Image | None:
        """The layer of a prepared scan, opened where that of a study is not; None where it can no more be had."""
        if news.scan is not None or news.study is None:
            return news.scan
        volume = news.study.volume
        there = next((m for m in self.viewer.layers if placement.is_scan_of(m, volume)), None)
        if there is not None or not volume.path:
            return there
        data, attributes, _kind = scan_layer(volume)
        return self.viewer.add_image(data, **attributes)

    def _work(self) -> None:
        """Work on what is missing, unless that goes on already: it looks at the newest settings by itself."""
        if not self._runner.running and self.explorer is not None:
            self._start(self.explorer.work(), self._on_progress)

    def _on_progress(self, progress: Progress) -> None:
        self.advanced.emit(str(progress))
        self.progressed.emit(progress.done, progress.total)
        explorer, was = self.explorer, self._in_view
        assert explorer is not None  # what goes on after it is gone is not heard
        # A score in view may come with the last of its neighbours.
        self._in_view = bool(explorer.ready(self.map_layers.shown or next(iter(explorer.maps)))[explorer.focus])
        if explorer.focus in progress.slices or (self._in_view and not was) or time.monotonic() - self._drawn > REDRAW:
            self.redraw()
        self._give_settings()  # those that waited

    def redraw(self) -> None:
        """Bring the visible layers up to date; while the slice in view is worked on, what it showed stays."""
        explorer = self.explorer
        if explorer is None or self._closed:
            return
        recent = time.monotonic() - self._drawn < 2 * REDRAW
        if (
            recent
            and self._runner.running
            and not explorer.ready(self.map_layers.shown or next(iter(explorer.maps)))[explorer.focus]
        ):
            return
        self.map_layers.refresh()
        self._drawn = time.monotonic()
        self.drawn.emit()

    def _start(self, steps: Iterator, on_step: Callable) -> None:
        """Run a generator; what comes next depends on how it ends."""

        def ended(aborted: bool, failed: bool) -> None:
            self._preparing = False
            self._asked.on(None)
            self.redraw()
            self.busy.emit(False)
            if failed:  # what failed once would fail again
                return
            if self.explorer is not None and on_step == self._on_prepared and not aborted:
                self._work()
            elif aborted:
                self.advanced.emit("Cancelled; what was done is kept.")
            elif self._give_settings():
                self._work()
            elif self.explorer is not None and on_step == self._on_progress:
                self.advanced.emit("Ready.")
                self.list_findings()
                self.settled.emit()

        self._preparing = on_step == self._on_prepared
        self._runner.start(steps, on_step, ended)
        self.busy.emit(True)
