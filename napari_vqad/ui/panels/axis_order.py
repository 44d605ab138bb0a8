"""What is asked and said of layers that may be scans: how the head lies, where nothing says so; why a layer is none."""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Image, Layer
from napari.viewer import Viewer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from napari_vqad.imaging.axis_order import ALL, USUAL, in_words, with_axes
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.layers import placement
from napari_vqad.ui.plumbing.style import SMALL

TOLD = "napari_vqad_axes"  # in a layer's metadata: what the user said of it
ASK = "not known: choose …"
TIP = (
    "Nothing says how the head lies in this array: to which side do its first, second and third axis run? Letters "
    "have a “?” until you say. SPL is what SimpleITK gives, RAS often what nibabel gives."
)


class Questions(QWidget):
    """A list of axes for the chosen scan, and a sentence on layers that are not offered; hidden unless of use."""

    told = Signal(object, str)  # a layer, and the letters of its axes

    def __init__(self) -> None:
        super().__init__()
        self._layer: Image | None = None
        self.box = QComboBox()
        self.box.setToolTip(TIP)
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.addItem(ASK, "")
        for codes in ALL:
            if codes == ALL[len(USUAL)]:
                self.box.insertSeparator(self.box.count())
            self.box.addItem(f"{codes}, {in_words(codes)}", codes)
        self.why = QLabel("")
        self.why.setStyleSheet(SMALL)
        self.why.setWordWrap(True)
        self.axes = QWidget()
        row = QFormLayout(self.axes)
        row.setContentsMargins(0, 0, 0, 0)
        row.addRow("Axes of the array", self.box)
        column = QFormLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addRow(self.axes)
        column.addRow(self.why)
        self.box.activated.connect(self._on_chosen)
        self.ask(None)
        self.explain([])

    def ask(self, layer: Image | None) -> None:
        """Ask about a scan, if it does not say itself how the head lies."""
        self._layer = layer
        known = layer.metadata.get("napari_vqad") if layer is not None else None
        told = layer.metadata.get(TOLD, "") if layer is not None else ""
        sure = layer is None or (isinstance(known, Volume) and (known.side_known or known.kind == "clip"))
        self.axes.setVisible(bool(told) or not sure)
        self.box.setCurrentIndex(max(0, self.box.findData(told)))

    def explain(self, layers: Iterable[Layer]) -> None:
        """Say of the newest image that cannot be a scan why that is so, and what to do."""
        reasons = [text for layer in layers if isinstance(layer, Image) and (text := why_not(layer))]
        self.why.setText(reasons[-1] if reasons else "")
        self.why.setVisible(bool(reasons))

    def _on_chosen(self, _index: int) -> None:
        codes = self.box.currentData()
        if codes and self._layer is not None and codes != self._layer.metadata.get(TOLD):
            self.told.emit(self._layer, codes)


def why_not(layer: Image) -> str:
    """Why an image cannot be a scan, and what to do; nothing where it can."""
    name = f"“{layer.name}”"
    if layer.rgb:
        return f"{name} is a colour picture; a scan has one number a voxel. Right-click the layer: Split RGB."
    if layer.ndim > 3:
        return (
            f"{name} has {layer.ndim} axes, and a scan has 3. Take one volume of it: right-click the layer, Split "
            "Stack; or open the one file you want."
        )
    return f"{name} is a single picture; a scan has 3 axes." if layer.ndim < 3 else ""


def lay(viewer: Viewer, layer: Image, codes: str) -> Image:
    """Put a scan in the place of a layer, lying as the user says: the letter of each axis of the layer's data."""
    volume = placement.volume_of(layer)
    in_file = codes if volume.path is not None else codes[::-1]  # of a bare array the volume has the axes turned round
    data, attributes, _kind = scan_layer(with_axes(volume, in_file), layer.name)
    attributes["metadata"][TOLD] = codes
    attributes["contrast_limits"], attributes["colormap"] = layer.contrast_limits, layer.colormap
    viewer.layers.remove(layer)
    return viewer.add_image(data, **attributes)
