"""The view buttons, the colour bar of the current view, and the options that change how it is shown."""

from __future__ import annotations

from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_vqad.detectors.registry import DEFAULT, detector_class
from napari_vqad.display.views import View, views_of
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.ui.panels.colour_bar import Legend
from napari_vqad.ui.panels.combo import RestorationSpinBox
from napari_vqad.ui.plumbing.shortcuts import ORIGINAL


class ViewBar(QWidget):
    """Lets the user choose a view; the dock connects the widgets."""

    def __init__(self) -> None:
        super().__init__()
        self.row = QWidget()
        row = QHBoxLayout(self.row)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        self.views = QButtonGroup(self)
        self.offer(views_of(Dependencies(detector_class(DEFAULT)).maps))
        self.legend = Legend()
        self.beside = QToolButton()
        self.beside.setText("Side by side")
        self.beside.setCheckable(True)
        self.beside.setToolTip("Show the scan and the chosen map next to each other; they move together.")
        self.original = QToolButton()
        self.original.setText(f"Scan (hold {ORIGINAL})")
        self.original.setToolTip(f"Hold this button or the key {ORIGINAL} to show the scan alone.")
        self.which = RestorationSpinBox()
        second = QHBoxLayout()
        for widget in (self.beside, self.original, self.which):
            second.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addWidget(self.row)
        column.addWidget(self.legend)
        column.addLayout(second)

    def offer(self, views: list[View]) -> None:
        """Show one button for each view. The pressed button stays pressed if its view is offered again."""
        if [b.text() for b in self.views.buttons()] == [view.name for view in views]:
            return
        down = self.views.checkedButton()
        layout = self.row.layout()
        for button in self.views.buttons():
            self.views.removeButton(button)
            button.setParent(None)
            button.deleteLater()
        for view in views:
            button = QToolButton()
            button.setText(view.name)
            button.setToolTip(view.tip)
            button.setCheckable(True)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.setChecked(down is not None and view.name == down.text())
            self.views.addButton(button)
            if layout is not None:
                layout.addWidget(button)

    def current(self) -> str:
        """The view whose button is pressed."""
        button = self.views.checkedButton()
        return button.text() if button else "Scan"

    def press(self, name: str) -> None:
        """Press the button of a view and release the others."""
        for button in self.views.buttons():
            button.setChecked(button.text() == name)
