"""Ask how the head lies in an array of unknown orientation, and explain why a layer cannot be a scan."""

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

TOLD = "napari_vqad_axes"  # in a layer's metadata: the letters of its axes that the user chose
ASK = "not known: choose …"
TIP = (
    "The orientation of the head in this array is not known. Choose the directions of its first, second and third "
    "axis; until then the letters on the canvas have a “?”. SimpleITK gives SPL, nibabel often RAS."
)


class Questions(QWidget):
    """A list of axis orders for the chosen scan, and why a layer is not offered; both are hidden if not needed."""

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
        """Ask how the head lies in a scan whose orientation is not known."""
        self._layer = layer
        known = layer.metadata.get("napari_vqad") if layer is not None else None
        told = layer.metadata.get(TOLD, "") if layer is not None else ""
        sure = layer is None or (isinstance(known, Volume) and (known.side_known or known.kind == "clip"))
        self.axes.setVisible(bool(told) or not sure)
        self.box.setCurrentIndex(max(0, self.box.findData(told)))

    def explain(self, layers: Iterable[Layer]) -> None:
        """Explain why the topmost unsuitable image cannot be a scan, and what to do."""
        reasons = [text for layer in layers if isinstance(layer, Image) and (text := why_not(layer))]
        self.why.setText(reasons[-1] if reasons else "")
        self.why.setVisible(bool(reasons))

    def _on_chosen(self, _index: int) -> None:
        codes = self.box.currentData()
        if codes and self._layer is not None and codes != self._layer.metadata.get(TOLD):
            self.told.emit(self._layer, codes)


def why_not(layer: Image) -> str:
    """Why an image cannot be a scan, and what to do; empty if it can."""
    name = f"“{layer.name}”"
    if layer.rgb:
        return f"{name} is a colour picture; a scan has one value per voxel. Right-click the layer: Split RGB."
    if layer.ndim > 3:
        return (
            f"{name} has {layer.ndim} axes, and a scan has 3. Take one volume of it: right-click the layer, Split "
            "Stack; or open the one file you want."
        )
    return f"{name} is a single 2D picture; a scan has 3 axes." if layer.ndim < 3 else ""


def lay(viewer: Viewer, layer: Image, codes: str) -> Image:
    """Replace a layer by a scan with the orientation that the user chose.

    `codes` has a letter for each axis of the layer's data, or of the file's if it was read from one.
    """
    volume = placement.volume_of(layer)
    in_file = codes if volume.path is not None else codes[::-1]  # the volume of a bare array has reversed axes
    data, attributes, _kind = scan_layer(with_axes(volume, in_file), layer.name)
    attributes["metadata"][TOLD] = codes
    attributes["contrast_limits"], attributes["colormap"] = layer.contrast_limits, layer.colormap
    viewer.layers.remove(layer)
    return viewer.add_image(data, **attributes)
