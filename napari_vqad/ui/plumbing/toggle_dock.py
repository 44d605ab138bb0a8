"""A dock below the canvas that a button opens, and that the button or the dock's close button closes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QToolButton, QWidget

from napari_vqad.ui.plumbing.connections import ViewerConnections


class ToggleDock(QObject):
    """Shows a widget while its button is pressed."""

    def __init__(self, connections: ViewerConnections, button: QToolButton, widget: QWidget, name: str) -> None:
        super().__init__(button)
        self.viewer, self.button, self.widget, self.name = connections.viewer, button, widget, name
        connections.on_close(self._remove_dock)
        self._dock: Any = None
        self._take_back_widget()
        button.toggled.connect(self.show)

    def show(self, on: bool) -> None:
        """Show or hide the widget."""
        if on and self._dock is None:
            self._dock = self.viewer.window.add_dock_widget(self.widget, name=self.name, area="bottom")
            self.widget.show()
            self._dock.destroyed.connect(self._on_dock_closed)  # napari's close button deletes the dock
        if self._dock is not None:
            self._dock.setVisible(on)

    def _take_back_widget(self) -> None:
        # A hidden widget is the button's child, so Qt deletes it with the button and it does not keep the viewer alive.
        self.widget.setParent(self.button)
        self.widget.hide()

    def _remove_dock(self) -> None:
        if self._dock is not None:
            self._dock.destroyed.disconnect(self._on_dock_closed)
            self.viewer.window.remove_dock_widget(self._dock)
        self.widget.deleteLater()

    def _on_dock_closed(self) -> None:
        self._dock = None
        self._take_back_widget()
        self.button.setChecked(False)
