"""Choosing a place with a click on the canvas. Escape, or another press of the button, ends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut, QToolButton

from napari_vqad.ui.layers import placement
from napari_vqad.ui.plumbing.connections import ViewerConnections

CURSOR = "crosshair"
STILL = 3  # screen pixels; a press that moves further is a drag, which pans as usual


class Placing(QToolButton):
    """The button. While it is pressed, the cursor is a cross and each click on the canvas emits `placed`."""

    placed = Signal(object)  # the world point, a tuple
    refused = Signal(str)  # why a click gives no place

    def __init__(self, connections: ViewerConnections) -> None:
        super().__init__()
        self.viewer = connections.viewer
        self.setText("Place")
        self.setCheckable(True)
        self._cursor = self.viewer.cursor.style
        # Escape is heard by the tab's window as well as by the canvas, whichever has the focus.
        self._escape = QShortcut(QKeySequence("Escape"), self)
        self._escape.setContext(Qt.ShortcutContext.ApplicationShortcut)
        self._escape.setEnabled(False)
        self._escape.activated.connect(self._stop)
        self._bound: Any = None  # what Escape does on the canvas otherwise
        self.toggled.connect(self._on_toggled)
        connections.add_mouse_drag(self._on_press)
        connections.connect(self.viewer.layers.selection.events.active, self._keep_cursor)

    def _on_toggled(self, on: bool) -> None:
        self._escape.setEnabled(on)
        if on:
            self._cursor = self.viewer.cursor.style
            self._bound = self.viewer.bind_key("Escape", self._stop, overwrite=True)
            self.viewer.cursor.style = CURSOR
            return
        if self.viewer.cursor.style == CURSOR:
            self.viewer.cursor.style = self._cursor
        self.viewer.bind_key("Escape", None)
        if self._bound is not None:
            self.viewer.bind_key("Escape", self._bound)

    def _stop(self, *_: object) -> None:
        self.setChecked(False)

    def _keep_cursor(self) -> None:
        """napari sets the cursor of each layer that becomes active."""
        if self.isChecked():
            self.viewer.cursor.style = CURSOR

    def _on_press(self, viewer: Viewer, event: Any) -> Iterator[None]:
        """Take a click without a drag as the place."""
        if not self.isChecked() or event.button != 1 or event.modifiers:
            return
        yield
        while event.type == "mouse_move":
            if max(abs(a - b) for a, b in zip(event.pos, event.press_event.pos, strict=True)) > STILL:
                return
            yield
        active = viewer.layers.selection.active
        if active is not None and active.mode != "pan_zoom":
            self.refused.emit(f"Set the layer '{active.name}' to pan and zoom first; nothing was placed.")
        elif placement.plane_of(viewer.dims) is None:
            self.refused.emit("Places are chosen in a slice: show the scan in 2D; nothing was placed.")
        else:
            self.placed.emit(tuple(event.position))
