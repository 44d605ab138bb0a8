"""The session in napari: prepares scans and studies, and keeps the layers and the slice in view.

Widgets connect to its signals and call its methods. Only the session owns the explorer, the layers and the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari.layers import Image
from psygnal import Signal

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.export.study import Study, open_study
from napari_vqad.findings.findings import Finding
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.layout import check_kind
from napari_vqad.imaging.volume import Volume
from napari_vqad.session import ExplorerSession
from napari_vqad.ui.canvas.fit_view import Fit
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import MapLayers
from napari_vqad.ui.layers.mask_input import given_mask
from napari_vqad.ui.layers.scan_watch import LayerWatch
from napari_vqad.ui.plumbing.connections import ViewerConnections
from napari_vqad.ui.plumbing.worker import WorkerSlot
from napari_vqad.ui.request import AnalysisRequest, PreparedScan


class Session(ExplorerSession):
    """The state of the dock. While there is an explorer, the viewer contains the layer of its scan."""

    moved = Signal()  # the slice in view changed
    reopened = Signal(Study)  # after `opened`, if the scan comes from a saved study

    def __init__(self, connections: ViewerConnections, settings: Settings, cache_bytes: int) -> None:
        super().__init__(settings, cache_bytes, WorkerSlot(self.advanced.emit))
        self.connections = connections
        self.viewer = viewer = connections.viewer
        self.prepared: PreparedScan | None = None
        self.map_layers = MapLayers(viewer)
        self.fit = Fit(connections)
        self._bundle: Bundle | None = None
        self._device = ""
        self._preparing = False  # is a scan being prepared?
        self._open_scans: list[tuple[Image, Volume]] = []  # the layers and scans that `scans` found
        self._scan_watch, self._next_scan_watch = (
            LayerWatch(connections, self._on_scan_lost),
            LayerWatch(connections, self._on_next_scan_lost),
        )
        connections.on_close(self.map_layers.clear)
        connections.on_close(self.close)
        connections.connect(viewer.dims.events.point, self._on_point)
        connections.connect(viewer.layers.events.removed, self.map_layers.refresh_deferred)
        connections.connect(viewer.layers.events.removed, self.map_layers.on_removed)

    def draw(self) -> None:
        """Bring the visible layers up to date."""
        self.map_layers.refresh()

    @property
    def shown_map(self) -> str | None:
        """The map of the view."""
        return self.map_layers.shown

    # ---- actions of the user --------------------------------------------------------------------------------------

    def analyse(self, order: AnalysisRequest) -> None:
        """Load scan and model in the worker, then analyse. The previous analysis stays until they are loaded."""
        self.cancel()
        self._next_scan_watch.on(order.scan)
        self._start(self._prepare(order))

    def reopen(self, path: Path, scan: Volume | Path | None, bundles: list[Path], device: str) -> None:
        """Open a saved study; for the arguments see `open_study`. The previous analysis stays until it is open."""

        def steps() -> Iterator[str | PreparedScan]:
            yield "Opening the study …"
            study = open_study(path, scan, bundles=bundles, device=device, cache_bytes=self.cache_bytes)
            self._bundle, self._device = study.explorer.bundle, device
            yield PreparedScan(study.explorer, study.mask, study.mask_note, layer, study)

        layer = next((m for m, volume in self._open_scans if volume is scan), None)
        self.cancel()
        self._next_scan_watch.on(layer)
        self._start(steps())

    def losses(self) -> list[str]:
        """What would be lost if the window closed now, one sentence for each loss."""
        found = []
        if self.running:
            scan = self._next_scan_watch.layer or self._scan_watch.layer
            name = f" of '{scan.name}'" if scan is not None else ""
            found.append(f"The analysis{name} is not finished; it would be stopped.")
        return [*found, *self.unsaved_words()]

    @property
    def scan(self) -> Image | None:
        """The layer of the explored scan; None while there is no explorer."""
        return self._scan_watch.layer if self.explorer is not None else None

    def scans(self) -> list[Volume]:
        """The scans that are open in the viewer."""
        images = [m for m in self.viewer.layers if isinstance(m, Image) and m.ndim == 3 and not m.rgb]
        self._open_scans = [(m, placement.volume_of(m)) for m in images if "napari_vqad_grid" not in m.metadata]
        return [volume for _, volume in self._open_scans]

    # ---- removal of the scan ----------------------------------------------------------------------------------------

    def clear(self) -> int:
        """Stop the analysis and forget its scan and results.

        Returns the number of verdicts and notes that are restored if the same scan is analysed again.
        """
        if not self._preparing:
            self._stop()
        kept, self.prepared = super().clear(), None
        self._scan_watch.on(None)
        self.map_layers.leave()
        self.emptied.emit()
        return kept

    def _on_scan_lost(self, why: str) -> None:
        """The layer of the explored scan was removed or has other data."""
        kept = self.clear()
        if not self._preparing:
            back = " Your verdicts are restored if you analyse the same scan again in this window." if kept else ""
            self.advanced.emit(f"{why} Its results were cleared.{back}")

    def _on_next_scan_lost(self, why: str) -> None:
        """The layer of the scan being prepared was removed or has other data. The previous analysis stays."""
        self._stop()
        self.advanced.emit(f"{why} Its analysis was stopped.")

    def _stop(self) -> None:
        """Stop the worker and ignore what it still sends."""
        self._preparing = False
        self._runner.detach()
        self.busy.emit(False)

    # ---- slices ---------------------------------------------------------------------------------------------------

    def go_to(self, index: int) -> None:
        """Bring a slice into view."""
        if self.explorer is not None and self.viewer.dims.ndim >= 3:  # with fewer axes, its layers have been removed
            grid = self.explorer.grid
            self.viewer.dims.set_point(placement.canvas_axis(grid), placement.point_of(grid, index))

    def go_to_flagged(self, step: int) -> None:
        """Bring the next (1) or previous (−1) flagged slice in slider order into view; wrap around at the ends."""
        following = self.flagged_after(step)
        if following is not None:
            self.go_to(following)

    def show_finding(self, finding: Finding) -> None:
        """Bring the centre of a finding into view; if the user has zoomed, move it to the middle of the canvas."""
        if self.explorer is None:
            return
        dims, world = self.viewer.dims, placement.world_of(self.explorer.scan, finding.centre)
        if dims.ndim < 3:  # its layers have been removed
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
        check_kind(volume, self._bundle.config.grid)  # before the mask is computed, which takes a while
        if order.mask is None:
            if volume.kind == "head":
                yield "Making the brain mask …"
            mask, note = make_mask(volume)
        else:
            mask, note = given_mask(order.mask, volume)
        explorer = Explorer(self._bundle, self._bundle.coerce(self.settings), self.cache_bytes)
        explorer.load_scan(volume, mask)
        file = order.mask if isinstance(order.mask, Path) else None
        files = () if file is None else (file,)
        computed = order.mask is None
        yield PreparedScan(explorer, mask, note, order.scan, files=files, mask_file=file, mask_computed=computed)

    def _on_prepared(self, news: str | PreparedScan) -> None:
        if isinstance(news, str):
            self.advanced.emit(news)
            return
        study = news.study
        self._preparing = False
        self._next_scan_watch.on(None)
        scan = self._layer_of(news)
        if scan is None:
            self.advanced.emit("The scan of the study is no longer open; open it again, then the study.")
            return
        self._scan_watch.on(scan)
        self.prepared = news
        replaced = [] if study else news.explorer.bundle.replaced(self.settings)
        self.open(news.explorer, news.explorer.settings if study else None)
        self.note = " ".join([*news.explorer.scan.notes, news.note, *news.explorer.grid.remarks, *replaced])
        self.map_layers.open(news.explorer, news.mask, scan)
        if study:
            self.restore(study.words)
        self.list_findings()
        self._give_settings()
        self._on_point()
        self.opened.emit()
        if study:
            self.go_to(study.slice)
            self.reopened.emit(study)

    def _layer_of(self, news: PreparedScan) -> Image | None:
        """The layer of a prepared scan. A study's scan is opened if needed; None if it has no file."""
        if news.scan is not None or news.study is None:
            return news.scan
        volume = news.study.volume
        there = next((m for m in self.viewer.layers if placement.is_scan_of(m, volume)), None)
        if there is not None or not volume.path:
            return there
        data, attributes, _kind = scan_layer(volume)
        return self.viewer.add_image(data, **attributes)

    def _start(self, steps: Iterator[str | PreparedScan]) -> None:
        """Prepare a scan; the analysis starts afterwards."""
        self._preparing = True
        self.run(steps, self._on_prepared)

    def on_end(self) -> None:
        """Note that no scan is being prepared any more."""
        self._preparing = False
        self._next_scan_watch.on(None)
