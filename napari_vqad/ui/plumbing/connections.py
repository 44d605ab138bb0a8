"""What a docked widget ties to its viewer, and unties when it is taken out; one of a kind lives in a viewer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

from napari.viewer import Viewer
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_vqad.ui.plumbing.window_events import WindowEvents

W = TypeVar("W", bound=QWidget)
PANEL = "napari_vqad_panel"  # a property of the widgets that need most of the window's height


class ViewerConnections:
    """Listeners, keys and mouse callbacks of a viewer; each is undone in `loose`, the last one first.

    A widget that napari takes out of its window lives on for whoever still calls it: hence nothing may.
    """

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self._undo = ExitStack()
        self._heard: list[tuple[Any, Callable]] = []

    def adopt(self, widget: QWidget) -> None:
        """Tie a widget's life to these: taken out of the window it ends; one of its kind that is there ends now."""
        for other in docked(self.viewer, type(widget)):
            self.viewer.window.remove_dock_widget(other)
        closing = WindowEvents(widget)

        def make_canvas_current() -> None:
            window = closing.window()
            for canvas in window.findChildren(QOpenGLWidget) if window is not None else ():
                canvas.makeCurrent()

        # What a layer drew napari deletes at once, in whichever GL context is current; with the wrong one Mesa crashes
        # in what is drawn next.
        for event in (self.viewer.layers.events.removing, self.viewer.layers.events.end_batch):
            self.connect(event, make_canvas_current)
        closing.removed.connect(lambda: self.close())  # Qt would hold the method weakly, and these may have no other
        closing.removed.connect(widget.deleteLater)
        # The window may end before its viewer does, which scripts hold: its layers are then heard by nobody.
        widget.destroyed.connect(lambda *_: self.remove())

    def connect(self, event: Any, act: Callable) -> None:
        """Call `act` at an event of the viewer, or of what belongs to it."""
        event.connect(act)
        self._heard.append((event, act))
        self._undo.callback(event.disconnect, act)

    def bind_key(self, key: str, act: Callable[[Any], object]) -> None:
        """Let a key, written as napari writes it, do something on the canvas; later it does again what it did."""
        before = self.viewer.bind_key(key, act, overwrite=True)

        def give_back() -> None:
            now = self.viewer.bind_key(key, None)
            after = before if now == act else now  # another may have taken it since
            if after is not None:
                self.viewer.bind_key(key, after)

        self._undo.callback(give_back)

    def add_mouse_drag(self, act: Callable) -> None:
        """Call `act` when a mouse button is pressed on the canvas, as napari's mouse_drag_callbacks."""
        self.viewer.mouse_drag_callbacks.append(act)
        self._undo.callback(self.viewer.mouse_drag_callbacks.remove, act)

    def on_close(self, act: Callable[[], object]) -> None:
        """Call `act` when the ties are undone."""
        self._undo.callback(act)

    def close(self) -> None:
        """Undo all of them."""
        self._heard.clear()
        self._undo.close()

    def remove(self) -> None:
        """The widgets do not exist any more: hear nothing, and leave all else as it is."""
        for event, act in self._heard:
            event.disconnect(act)
        self._heard.clear()
        self._undo.pop_all()


def stack_panels(viewer: Viewer, widget: QWidget) -> None:
    """Let one of our panels lie behind the other, as tabs: one below the other, neither has room on a small screen."""
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
