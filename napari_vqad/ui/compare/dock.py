"""Compare two or more models: show the same slice side by side, at the same healthy percentile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from napari.layers import Image, Layer
from napari.viewer import Viewer
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider
from superqt.utils import qthrottled

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.protocol import Detector
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.notice import NOTICE
from napari_vqad.display.views import map_of, views_of
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.progress import Progress
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.compare.canvas_state import CELL, SavedCanvas
from napari_vqad.ui.compare.cell import Panel, make_panel
from napari_vqad.ui.compare.model_list import ModelList
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import remove_layers
from napari_vqad.ui.layers.mask_input import given_mask
from napari_vqad.ui.layers.scan_watch import LayerWatch
from napari_vqad.ui.panels.inputs import Inputs
from napari_vqad.ui.panels.setting_widgets import PAUSE
from napari_vqad.ui.plumbing.connections import PANEL, ViewerConnections, stack_panels
from napari_vqad.ui.plumbing.preferences import read_preferences
from napari_vqad.ui.plumbing.style import SMALL
from napari_vqad.ui.plumbing.window_events import WindowEvents
from napari_vqad.ui.plumbing.worker import WorkerSlot

SHOWN = ("evidence", "residual", "score")  # roles of the maps that are compared
AT_FIRST = 90.0  # healthy percentile
BEGIN = "Tick two or more models, then press Compare."


class CompareDock(QWidget):
    """A list of models to tick, and buttons that show a map of each ticked model side by side."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer, connections, preferences = napari_viewer, ViewerConnections(napari_viewer), read_preferences()
        connections.adopt(self)
        self.settings = preferences.settings
        self.panels: list[Panel] = []
        self._saved_canvas: SavedCanvas | None = None  # the canvas before the comparison
        self._note = ""
        self._runner = WorkerSlot(self._show_status)
        self.setProperty(PANEL, True)
        self.setMinimumWidth(300)
        self.setMaximumWidth(420)

        self.inputs = Inputs([], preferences.device, one_model=False)
        self.models = ModelList()
        self.what = QComboBox()
        for folder in preferences.bundles:
            self.offer(folder)
        self.what.setToolTip("Which map to compare. A model without this map shows the scan alone.")
        self.percentile = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
        self.percentile.setRange(50, 99.9)
        self.percentile.setDecimals(1)
        self.percentile.setValue(AT_FIRST)
        self.percentile.setToolTip(
            "Start the colours of every map at this percentile of the model's healthy values, and set the thresholds "
            "of all models, such as λ_p, to it. Voxels below it are transparent."
        )
        self.go, self.stop, self.leave = QPushButton("Compare"), QPushButton("Cancel"), QPushButton("End")
        self.leave.setToolTip("End the comparison and show the previous layers again.")
        self.go.setToolTip("Run every ticked model on the scan, beginning with the slice in view.")
        self.stop.setToolTip("Stop. Finished slices are kept.")
        self.stop.setEnabled(False)
        self.status = QLabel(BEGIN)
        self.status.setWordWrap(True)
        self.scales = QLabel("")
        self.scales.setWordWrap(True)
        self.scales.setToolTip("The range of values that the colours of each picture show, from transparent to bright.")
        notice = QLabel(NOTICE)
        notice.setStyleSheet(SMALL)

        form, buttons, column = QFormLayout(), QHBoxLayout(), QVBoxLayout(self)
        form.addRow("Show", self.what)
        form.addRow("Healthy below (%)", self.percentile)
        buttons.addWidget(self.go, 2)
        buttons.addWidget(self.stop, 1)
        buttons.addWidget(self.leave, 1)
        column.addWidget(self.inputs)
        column.addWidget(self.models)
        column.addLayout(form)
        column.addLayout(buttons)
        column.addWidget(self.status)
        column.addWidget(self.scales)
        column.addWidget(notice)
        column.addStretch(1)

        self.inputs.scan.box.currentIndexChanged.connect(lambda _index: self._list_models())
        self.go.clicked.connect(self.start)
        self.stop.clicked.connect(self.cancel)
        self.leave.clicked.connect(self.end)
        self.what.currentTextChanged.connect(self._on_changed)
        self._on_changed_throttled = qthrottled(self._on_changed, timeout=PAUSE, leading=True, parent=self)
        self.percentile.valueChanged.connect(self._on_changed_throttled)
        connections.on_close(self.end)
        self._scan_watch = LayerWatch(connections, self._on_scan_lost)
        self._clear_timer = QTimer(self)
        self._clear_timer.setSingleShot(True)
        self._clear_timer.setInterval(0)
        self._clear_timer.timeout.connect(self.clear)
        connections.connect(self.viewer.dims.events.point, self._on_point)
        for event in (self.viewer.layers.events.inserted, self.viewer.layers.events.removed):
            connections.connect(event, self._list_layers)
        closing = WindowEvents(self, self._losses)
        closing.gone.connect(self._on_window_closed)
        self._list_layers()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802, D102
        super().showEvent(event)
        stack_panels(self.viewer, self)

    def offer(self, folder: Path) -> None:
        """Add a model to the list, and its maps to those that can be compared."""
        if (detector := self.models.offer(folder)) is not None:
            self._offer_maps(detector)
        self._list_models()

    def _offer_maps(self, detector: type[Detector]) -> None:
        """Add the maps of a detector that are not yet in the list, in the order of `SHOWN`."""
        views = [view for view in views_of(Dependencies(detector).maps) if view.role in SHOWN]
        for view in views:
            if self.what.findText(view.name) < 0:
                rank = SHOWN.index(view.role)
                at = next((i for i in range(self.what.count()) if self.what.itemData(i) > rank), self.what.count())
                self.what.insertItem(at, view.name, rank)

    def tick(self, *folders: Path) -> None:
        """Tick these models and no others."""
        self.models.tick(*folders)

    def ticked(self) -> list[Path]:
        """The folders of the ticked models."""
        return self.models.ticked()

    def _list_models(self) -> None:
        """Offer only models for the scan's kind."""
        self.models.show_fitting(self.inputs.kind(), self.inputs.gradients())

    def start(self) -> None:
        """Run the ticked models on the chosen scan."""
        scan, mask, _, device = self.inputs.chosen()
        folders = self.ticked()
        if scan is None or len(folders) < 2:
            self._show_status("Open a scan first." if scan is None else "Tick two or more models.")
            return
        self.cancel()
        self._set_busy(True)
        self._scan_watch.on(scan)
        self._runner.start(self._prepare(scan, mask, folders, device), self._on_step, self._on_end)

    def cancel(self) -> None:
        """Stop. Finished slices are kept."""
        for panel in self.panels:
            panel.explorer.cancel()
        self._runner.quit()

    def chosen(self, explorer: Explorer) -> Settings:
        """The user's settings, with the thresholds of the model's detector at the percentile of the slider."""
        own = {spec.setting: self._level for spec in explorer.detector.thresholds}
        return explorer.bundle.coerce(self.settings.model_copy(update=own))

    @property
    def _level(self) -> str:
        return f"p{self.percentile.value():.1f}"

    def end(self) -> None:
        """End the comparison and show the previous layers again."""
        self.cancel()
        self._runner.detach()
        self._set_busy(False)
        self._scan_watch.on(None)
        self.clear()
        self._show_status(BEGIN)

    def _on_scan_lost(self, why: str) -> None:
        """End the comparison, because its scan was closed. Hide the cells now and remove them a moment later."""
        self.cancel()
        self._runner.detach()
        self._set_busy(False)
        for panel in self.panels:
            panel.scan.visible = panel.map.visible = False
        self.scales.setText("")
        self._clear_timer.start()
        self._show_status(f"{why} The comparison has ended.")

    def _losses(self) -> list[str]:
        return ["The comparison is not finished; it would be stopped."] if self._runner.running else []

    def _on_window_closed(self, closed: bool) -> None:
        self._runner.muted = closed
        if closed:
            self.cancel()

    def _on_changed(self, *_: object) -> None:
        for panel in self.panels:
            panel.explorer.change(self.chosen(panel.explorer))
        if any(self._unfinished(panel) for panel in self.panels) and not self._runner.running:
            self._run_missing()
        self.refresh()

    def _on_point(self) -> None:
        for panel in self.panels if self.viewer.dims.ndim >= 3 else ():  # else the layers are gone
            panel.explorer.focus = placement.slice_at(panel.explorer.grid, self.viewer.dims.point)

    # ---- work -----------------------------------------------------------------------------------------------------

    def _prepare(self, scan: Image, mask: Layer | Path | None, folders: list[Path], device: str) -> Iterator:
        volume = placement.volume_of(scan)
        if mask is None:
            if volume.kind == "head":
                yield "Making the brain mask …"
            brain, note = make_mask(volume)
        else:
            brain, note = given_mask(mask, volume)
        explorers: list[Explorer] = []
        remarks: dict[str, list[str]] = {}
        for folder in folders:
            yield f"Loading {folder.name} …"
            bundle = Bundle.load(folder, device)
            explorers.append(Explorer(bundle, cache_bytes=128 * 2**20))
            grid = explorers[-1].load_scan(volume, brain)
            replaced = bundle.replaced(self.settings)
            remarks.setdefault(" ".join([*grid.remarks, *replaced]), []).append(bundle.title)
        # Remarks that are the same for all models are shown once, without names.
        who = {said: "" if len(remarks) == 1 else f"{', '.join(titles)}: " for said, titles in remarks.items() if said}
        yield scan, volume, explorers, "\n".join([note, *(titles + said for said, titles in who.items())])

    def _on_step(self, news: object) -> None:
        if isinstance(news, tuple):
            scan, volume, explorers, self._note = news
            self._open(scan, volume, explorers)
            self._on_point()
            self._on_changed()
        elif isinstance(news, Progress):
            self._show_status(f"{self._note}\n{news}")
            self.refresh()
        else:
            self._show_status(str(news))

    def _on_end(self, aborted: bool, failed: bool) -> None:
        self._set_busy(False)
        if failed or aborted:
            if aborted:
                self._show_status("Cancelled; finished slices are kept.")
            return
        if self.panels and any(self._unfinished(panel) for panel in self.panels):
            self._run_missing()
        elif self.panels:
            self._show_status(f"{self._note}\nReady.")
            self.refresh()

    def _map(self, panel: Panel) -> str | None:
        """The map of a model for the chosen view; None if it has no such map."""
        return map_of(panel.explorer.maps, self.what.currentText())

    def _stages(self, panel: Panel) -> tuple[str, ...]:
        name = self._map(panel)
        return panel.explorer.stages_of(name) if name else ()

    def _unfinished(self, panel: Panel) -> bool:
        brain = panel.explorer.grid.mask.any((1, 2))
        return not all(panel.explorer.ready(stage)[brain].all() for stage in self._stages(panel))

    def _run_missing(self) -> None:
        self._set_busy(True)
        self._runner.start(self._in_turns(), self._on_step, self._on_end)

    def _in_turns(self) -> Iterator[Progress]:
        """Run one batch of each model in turn, so that all models soon show the slice in view."""
        runs = [panel.explorer.work(stages) for panel in self.panels if (stages := self._stages(panel))]
        while runs:
            for run in list(runs):
                try:
                    yield next(run)
                except StopIteration:
                    runs.remove(run)

    # ---- display --------------------------------------------------------------------------------------------------

    def _open(self, scan_layer: Image, volume: Volume, explorers: list[Explorer]) -> None:
        """Add a cell for each model: the scan, and the model's map above it."""
        self.clear()
        if scan_layer not in self.viewer.layers:  # it was just removed
            return
        self._saved_canvas = SavedCanvas(self.viewer)
        placement.with_units(scan_layer)
        for number, explorer in enumerate(explorers):
            panel = make_panel(explorer, scan_layer, volume, number)
            for layer in (panel.scan, panel.map):  # after the cells so far, below all other layers
                self.viewer.layers.insert(sum(CELL in m.metadata for m in self.viewer.layers), layer)
            self.panels.append(panel)
        grid = self.viewer.canvas.grid
        grid.stride, grid.shape, grid.enabled = 2, (-1, -1), True
        self.viewer.fit_to_view()

    def refresh(self) -> None:
        """Update every map. The colours of each start at the same percentile of its model's healthy values."""
        lines: list[str] = []
        for panel in self.panels:
            if panel.map not in self.viewer.layers:
                continue
            lines.append(panel.refresh(self._map(panel), self.what.currentText(), self._level))

        title = f"Range of the colours, from the healthy {self._level} (transparent) to bright"
        self.scales.setText("\n".join([title, *lines] if lines else []))

    def clear(self) -> None:
        """Restore the canvas, then remove the cells: their removal makes listeners show deferred views."""
        self._clear_timer.stop()
        if self._saved_canvas is not None:
            self._saved_canvas.give_back()
            self._saved_canvas = None
        remove_layers(self.viewer, [layer for panel in self.panels for layer in (panel.map, panel.scan)])
        self.panels.clear()
        self.scales.setText("")

    def _list_layers(self) -> None:
        self.inputs.list_layers(self.viewer.layers, [layer for p in self.panels for layer in (p.scan, p.map)])

    def _show_status(self, text: str) -> None:
        self.status.setText(text.strip())

    def _set_busy(self, busy: bool) -> None:
        self.go.setEnabled(not busy)
        self.stop.setEnabled(busy)
