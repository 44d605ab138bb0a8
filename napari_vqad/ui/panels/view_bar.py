"""The buttons of the views, the scale of the one that is shown, and how it is shown."""

from __future__ import annotations

from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from napari_vqad.ui.layers.map_layers import VIEWS
from napari_vqad.ui.panels.colour_bar import Legend
from napari_vqad.ui.panels.combo import Which
from napari_vqad.ui.plumbing.shortcuts import ORIGINAL

TIPS = {
    "Scan": "the scan alone",
    "NLL": "how unlikely each code is",
    "Restoration": "the weighted mean of the restorations",
    "Residual": "how far scan and restorations differ",
    "Score": "the pooled residual",
    "Flagged": "voxels above the threshold",
}


class ViewBar(QWidget):
    """One question at a time; widgets only, the dock wires them."""

    def __init__(self) -> None:
        super().__init__()
        self.row = QWidget()
        row = QHBoxLayout(self.row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        self.views = QButtonGroup(self)
        for name in VIEWS:
            button = QToolButton()
            button.setText(name)
            button.setToolTip(f"Show {TIPS[name]}.")
            button.setCheckable(True)
            self.views.addButton(button)
            row.addWidget(button, 1)
        self.legend = Legend()
        self.beside = QToolButton()
        self.beside.setText("Side by side")
        self.beside.setCheckable(True)
        self.beside.setToolTip("Show the scan and the chosen map next to each other, moving together.")
        self.original = QToolButton()
        self.original.setText(f"Scan (hold {ORIGINAL})")
        self.original.setToolTip(f"While held, or while the key {ORIGINAL} is held, the scan alone is shown.")
        self.which = Which()
        second = QHBoxLayout()
        for widget in (self.beside, self.original, self.which):
            second.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self.row)
        column.addWidget(self.legend)
        column.addLayout(second)

    def current(self) -> str:
        """The view whose button is down."""
        button = self.views.checkedButton()
        return button.text() if button else "Scan"

    def press(self, name: str) -> None:
        """Put the button of a view down, and no other."""
        for button in self.views.buttons():
            button.setChecked(button.text() == name)
