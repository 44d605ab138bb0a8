"""Connections between a docked widget and its viewer, all disconnected when the dock is closed.

A viewer has at most one widget of each kind.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from napari.viewer import Viewer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_vqad.ui.plumbing.window_events import WindowEvents

W = TypeVar("W", bound=QWidget)
PANEL = "napari_vqad_panel"  # a property of widgets that need most of the window's height


class ViewerConnections:
    """Listeners, keys and mouse callbacks of a viewer. `close` disconnects them in reverse order.

    napari does not delete a widget when its dock is closed, so any remaining callback would keep it alive; therefore
    every connection is made here.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._on_close = ExitStack()
        self._connected: list[tuple[Any, Callable]] = []

    def adopt(self, widget: QWidget) -> None:
        """Close these connections and delete the widget when it is removed; remove others of its kind now."""
        for other in docked(self.viewer, type(widget)):
            self.viewer.window.remove_dock_widget(other)
        closing = WindowEvents(widget)

        def make_canvas_current() -> None:
            window = closing.window()
            for canvas in window.findChildren(QOpenGLWidget) if window is not None else ():
                canvas.makeCurrent()

        # napari deletes a removed layer's GL objects at once, in whichever context is current. If it is the wrong one,
        # Mesa crashes at the next drawing.
        for event in (self.viewer.layers.events.removing, self.viewer.layers.events.end_batch):
            self.connect(event, make_canvas_current)
        closing.removed.connect(lambda: self.close())  # Qt would only hold a weak reference to the method
        closing.removed.connect(widget.deleteLater)
        # A script may keep the viewer after its window is deleted; nothing may listen to its layers then.
        widget.destroyed.connect(lambda *_: self.remove())

    def connect(self, event: Any, act: Callable) -> None:
        """Call `act` at an event of the viewer or of its parts."""
        event.connect(act)
        self._connected.append((event, act))
        self._on_close.callback(event.disconnect, act)

    def bind_key(self, key: str, act: Callable[[Any], object]) -> None:
        """Bind a key, in napari's form, on the canvas; its previous binding is restored on close."""
        before = self.viewer.bind_key(key, act, overwrite=True)

        def give_back() -> None:
            now = self.viewer.bind_key(key, None)
            after = before if now == act else now  # it may have been bound again since
            if after is not None:
                self.viewer.bind_key(key, after)

        self._on_close.callback(give_back)

    def add_mouse_drag(self, act: Callable) -> None:
        """Add `act` to napari's mouse_drag_callbacks: it is called when a mouse button is pressed on the canvas."""
        self.viewer.mouse_drag_callbacks.append(act)
        self._on_close.callback(self.viewer.mouse_drag_callbacks.remove, act)

    def on_close(self, act: Callable[[], object]) -> None:
        """Call `act` when the connections are closed."""
        self._on_close.callback(act)

    def close(self) -> None:
        """Disconnect everything, the last connection first."""
        self._connected.clear()
        self._on_close.close()

    def remove(self) -> None:
        """Disconnect the listeners only, because the widgets do not exist any more."""
        for event, act in self._connected:
            event.disconnect(act)
        self._connected.clear()
        self._on_close.pop_all()


def stack_panels(viewer: Viewer, widget: QWidget) -> None:
    """Show our panels as tabs, because one below the other they do not fit on a small screen."""
    dock, window = widget.parentWidget(), widget.window()
    if not isinstance(dock, QDockWidget) or not isinstance(window, QMainWindow) or dock.isFloating():
        return
    for other in viewer.window.dock_widgets.values():
        beside = other.parentWidget()
        if other is widget or not other.property(PANEL) or not isinstance(beside, QDockWidget):
            continue
        alike = window.dockWidgetArea(beside) == window.dockWidgetArea(dock)
        if alike and not beside.isFloating() and beside not in window.tabifiedDockWidgets(dock):
            window.tabifyDockWidget(beside, dock)
            dock.raise_()


def docked(viewer: Viewer, kind: type[W]) -> list[W]:
    """The widgets of a kind that are in the viewer's window, hidden ones included."""
    return [widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, kind)]
