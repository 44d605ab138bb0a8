"""A widget that a button takes out below the canvas, and that it or napari's own cross puts away."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QToolButton, QWidget

from napari_vqad.ui.plumbing.connections import ViewerConnections


class ToggleDock(QObject):
    """Shows a widget while its button is down."""

    def __init__(self, connections: ViewerConnections, button: QToolButton, widget: QWidget, name: str) -> None:
        super().__init__(button)
        self.viewer, self.button, self.widget, self.name = connections.viewer, button, widget, name
        connections.on_close(self._end)
        self._dock: Any = None
        self._keep()
        button.toggled.connect(self.show)

    def show(self, on: bool) -> None:
        """Take it out, or put it away."""
        if on and self._dock is None:
            self._dock = self.viewer.window.add_dock_widget(self.widget, name=self.name, area="bottom")
            self.widget.show()
            self._dock.destroyed.connect(self._on_gone)  # napari's cross does not hide a dock but ends it
        if self._dock is not None:
            self._dock.setVisible(on)

    def _keep(self) -> None:
        # While it is put away it is the button's, unseen: it ends with it, and nothing holds the viewer any more.
        self.widget.setParent(self.button)
        self.widget.hide()

    def _end(self) -> None:
        if self._dock is not None:
            self._dock.destroyed.disconnect(self._on_gone)
            self.viewer.window.remove_dock_widget(self._dock)
        self.widget.deleteLater()

    def _on_gone(self) -> None:
        self._dock = None
        self._keep()
        self.button.setChecked(False)
