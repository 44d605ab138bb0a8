"""The form of the lab: kind, shape, intensity, radius, softness, seed of an anomaly."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QGridLayout, QLabel, QSpinBox, QWidget

from napari_vqad.imaging.volume import Volume
from napari_vqad.simulate.recipe import TITLES
from napari_vqad.ui.plumbing.style import SMALL

TIPS = {
    "kind": "What is changed in the picture: the intensity, the arrangement of the voxels, or a patch from elsewhere.",
    "shape": "Disc: in the slice you click in, as thick as one slice of the model. Ball: in three dimensions.",
    "intensity": "The intensity that is put in, or added, in SD of the brain's grey values.",
    "radius": "The radius of the disc or ball in the picture.",
    "softness": "Blurs the edge of the anomaly: the SD of a Gaussian; 0 gives a sharp edge.",
    "seed": "Another seed shuffles the voxels into another order; the same seed always gives the same picture.",
    "square": "The deformation with the square of the authors' code, or as the paper prints it; they differ.",
    "source": "Where a patch comes from. Click first where it is taken, then where it goes.",
}
SOLID = ("constant", "additive")  # kinds with an intensity
DEFORMED = ("sink", "source")


class LabForm(QWidget):
    """The widgets, and their values as fields of `Edit` and `Round`."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.kind, self.shape, self.square, self.source = QComboBox(), QComboBox(), QComboBox(), QComboBox()
        for kind, title in TITLES.items():
            self.kind.addItem(title, kind)
        for shape in ("ball", "disc"):
            self.shape.addItem(shape.capitalize(), shape)
        self.square.addItem("squared (authors' code)", True)
        self.square.addItem("as printed (paper)", False)
        self.source.addItem("this scan", None)
        self.intensity = _number(-10.0, 10.0, 2.0, " SD", 0.25)
        self.radius = _number(1.0, 60.0, 8.0, " mm", 1.0)
        self.softness = _number(0.0, 10.0, 1.0, " mm", 0.5)
        self.seed = QSpinBox()
        self.seed.setRange(0, 9999)
        self.words = QLabel("")
        self.words.setStyleSheet(SMALL)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(0)
        rows = (
            (("Anomaly", self.kind, "kind"), ("Shape", self.shape, "shape")),
            (("Intensity", self.intensity, "intensity"), ("Radius", self.radius, "radius")),
            (("Softness", self.softness, "softness"), ("Seed", self.seed, "seed")),
            (("Deformation", self.square, "square"), ("Patch from", self.source, "source")),
        )
        for row, pair in enumerate(rows):
            for column, (title, widget, name) in enumerate(pair):
                label = QLabel(title)
                label.setToolTip(TIPS[name])
                widget.setToolTip(TIPS[name])
                grid.addWidget(label, row, 2 * column)
                grid.addWidget(widget, row, 2 * column + 1)
        for box in (self.kind, self.square, self.source):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(16)
        grid.addWidget(self.words, len(rows), 0, 1, 4)
        self.kind.currentIndexChanged.connect(self._on_changed)
        self.intensity.valueChanged.connect(self._on_changed)
        self._on_changed()

    def _on_changed(self) -> None:
        """Enable only the widgets that the kind uses."""
        kind = self.kind.currentData()
        self.intensity.setEnabled(kind in SOLID)
        self.seed.setEnabled(kind == "shuffle")
        self.square.setEnabled(kind in DEFORMED)
        self.source.setEnabled(kind == "patch")
        self.changed.emit()

    def edit(self) -> dict[str, Any]:
        """The fields of `Edit` but for shape and place; those that the kind does not use keep their defaults."""
        kind = self.kind.currentData()
        fields: dict[str, Any] = {"kind": kind, "softness_mm": self.softness.value()}
        if kind in SOLID:
            fields["intensity"] = self.intensity.value()
        if kind in DEFORMED:
            fields["squared"] = self.square.currentData()
        if kind == "shuffle":
            fields["seed"] = self.seed.value()
        return fields

    def explain(self, text: str) -> None:
        """Say in words what the intensity means."""
        self.words.setText(text if self.kind.currentData() in SOLID else "")

    def offer(self, scans: list[Volume]) -> None:
        """List other scans that patches may come from; keep the choice."""
        known = [self.source.itemData(i) for i in range(1, self.source.count())]
        if len(known) == len(scans) and all(a is b for a, b in zip(known, scans, strict=True)):
            return
        before = self.source.currentData()
        self.source.blockSignals(True)
        self.source.clear()
        self.source.addItem("this scan", None)
        for volume in scans:
            self.source.addItem(volume.name, volume)
        self.source.setCurrentIndex(next((i + 1 for i, v in enumerate(scans) if v is before), 0))
        self.source.blockSignals(False)


def _number(low: float, high: float, value: float, unit: str, step: float) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setDecimals(2 if step < 0.5 else 1)
    box.setSingleStep(step)
    box.setValue(value)
    box.setSuffix(unit)
    return box
