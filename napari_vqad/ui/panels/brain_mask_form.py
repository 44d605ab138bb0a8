"""A widget that makes the brain mask of a scan and adds it as a Labels layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from magicgui.widgets import ComboBox, Container, Label, PushButton
from napari.layers import Image
from napari.viewer import Viewer
from qtpy.QtCore import Qt
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from napari_vqad.imaging.brain_mask import BrainMask, make_mask
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.layers import placement
from napari_vqad.ui.plumbing.connections import PANEL, ViewerConnections, stack_panels
from napari_vqad.ui.plumbing.window_events import WindowEvents
from napari_vqad.ui.plumbing.worker import WorkerSlot

NO_SCAN = "There is no head scan: open one with File → Open or File → Open Sample."


class BrainMaskForm(QWidget):
    """A list of scans and a button that computes the brain mask of the chosen scan in a worker and adds it."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.connections = ViewerConnections(napari_viewer)
        self.connections.adopt(self)
        self.setProperty(PANEL, True)
        self._worker = WorkerSlot(self._show_status)
        self.scan = ComboBox(
            name="scan", label="Scan", choices=(), nullable=False, tooltip="The head scan whose brain is masked."
        )
        box = self.scan.native  # long layer names must not widen the dock
        box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(12)
        self.button = PushButton(
            name="make",
            text="Make brain mask",
            tooltip="Compute the mask with the bundled network for T1 heads, and add it as a Labels layer. A scan that "
            "is skull-stripped already is masked without the network.",
        )
        self.note = Label(name="note", label="")
        words = self.note.native
        words.setWordWrap(True)
        words.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        words.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.MinimumExpanding)
        words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.form = Container(widgets=[self.scan], labels=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        for widget in (self.form, self.button, self.note):
            column.addWidget(widget.native, 1 if widget is self.note else 0)
        self.button.changed.connect(self.make)
        WindowEvents(self).gone.connect(self._on_window_closed)
        self.connections.on_close(self._close)
        layers = napari_viewer.layers
        for event in (layers.events.inserted, layers.events.removed):
            self.connections.connect(event, self._on_layers)
        self.connections.connect(layers.events, self._on_layer)
        self._on_layers()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Become a tab beside the explorer, because both need the whole height of the window."""
        super().showEvent(event)
        stack_panels(self.viewer, self)

    def make(self) -> None:
        """Compute the brain mask of the chosen scan."""
        layer = self.scan.value
        if layer is None or self._worker.running:
            return
        volume, name = placement.volume_of(layer), layer.name

        def steps() -> Iterator[str | BrainMask]:
            yield f"The brain mask of {name} is being computed …"
            yield make_mask(volume)

        def step(value: Any) -> None:
            if isinstance(value, BrainMask):
                self._add(layer, volume, value)
            else:
                self._show_status(value)

        self.button.enabled = False
        self._worker.start(steps(), step, lambda *_: self._enable())

    def _add(self, layer: Image, volume: Volume, mask: BrainMask) -> None:
        """Add a mask as a layer above its scan, on the same voxels."""
        if layer not in self.viewer.layers:
            self._show_status(f"No mask was added: the layer '{layer.name}' was removed meanwhile.")
            return
        placement.with_units(layer)  # one layer without units would remove the units of all layers
        self.viewer.add_labels(
            placement.to_canvas(mask.voxels).astype(np.uint8),
            name=f"Brain mask of {layer.name}",
            opacity=0.4,
            metadata={"napari_vqad": volume},
            **placement.placed_as(volume),
        )
        self._show_status(mask.note)

    def _on_layers(self, _event: Any = None) -> None:
        """Offer the open scans. Choose a new one if there is one, else keep the choice."""
        before, known = self.scan.value, {id(layer) for layer in self.scan.choices}
        scans = [layer for layer in self.viewer.layers if _is_head(layer)]
        self.scan.choices = [(layer.name, layer) for layer in scans]
        fresh = [layer for layer in scans if id(layer) not in known]
        if fresh or before in scans:
            self.scan.value = fresh[-1] if fresh else before
        self._enable()
        if not scans:
            self._show_status(NO_SCAN)
        elif self.note.value == NO_SCAN:
            self._show_status("")

    def _enable(self) -> None:
        self.scan.enabled = bool(self.scan.choices)
        self.button.enabled = bool(self.scan.choices) and not self._worker.running

    def _on_layer(self, event: Any) -> None:
        if event.type == "name":
            self._on_layers()

    def _show_status(self, sentence: str) -> None:
        self.note.value = sentence

    def _on_window_closed(self, gone: bool) -> None:
        self._worker.muted = gone

    def _close(self) -> None:
        """Stop the worker and release the layers, because the widget was removed from the window."""
        self._worker.detach()
        self.button.changed.disconnect(self.make)
        self.scan.choices = ()


def _is_head(layer: Any) -> bool:
    """Is a layer the scan of a head?"""
    return isinstance(layer, Image) and placement.may_be_scan(layer) and placement.kind_of(layer) == "head"
