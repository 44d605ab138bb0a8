"""The knobs of all settings, in sections that open and close."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_vqad.ui.panels.setting_widgets import BoxKnob, Knob, RangeKnob, SliderKnob, make_knob

SECTIONS = {
    "Thresholds": ("lambda_s", "lambda_p", "flag_slices", "flag_voxels"),
    "Findings": ("least_ml", "median", "erode"),
    "Restoration": ("method", "n_restorations", "k", "seed"),
    "More": ("slice_score", "score", "pooling", "level", "distance", "paper_faithful", "axis", "slices"),
}
OF_RESTORATIONS = ("lambda_p", "n_restorations", "k", "seed", "distance")  # without any they do nothing
OPEN_AT_FIRST = ("Thresholds", "Restoration")


class Sections(QWidget):
    """A knob for each setting of `SECTIONS`."""

    turned = Signal(str, object)  # name, value

    def __init__(self) -> None:
        super().__init__()
        self.knobs: dict[str, Knob] = {}
        self.all: list[QCollapsible] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        for title, names in SECTIONS.items():
            section = QCollapsible(title)
            if (layout := section.layout()) is not None:
                layout.setContentsMargins(0, 0, 0, 0)
            section.setDuration(0)
            for name in names:
                knob = self.knobs[name] = make_knob(name)
                knob.turned.connect(self.turned)
                section.addWidget(knob)
            if title in OPEN_AT_FIRST:
                section.expand(animate=False)
            self.all.append(section)
            column.addWidget(section)

    def slider(self, name: str) -> SliderKnob:
        """The slider of a number."""
        knob = self.knobs[name]
        assert isinstance(knob, SliderKnob)
        return knob

    def choice(self, name: str) -> BoxKnob:
        """The list of a choice."""
        knob = self.knobs[name]
        assert isinstance(knob, BoxKnob)
        return knob

    def range(self, name: str) -> RangeKnob:
        """First and last of a range."""
        knob = self.knobs[name]
        assert isinstance(knob, RangeKnob)
        return knob
