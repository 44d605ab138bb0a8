"""Signals when the viewer's window closes or a widget is removed from it; asks first if something would be lost."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

ANSWERED = "napari_vqad_may_close"  # a property of a window: the user has agreed to close it


class WindowEvents(QObject):
    """Watches a widget and the window it belongs to, docked or floating."""

    removed = Signal()  # the widget was removed from the window, for example by its dock's close button
    gone = Signal(bool)  # the window has closed (True), or is shown again

    def __init__(self, widget: QWidget, losses: Callable[[], list[str]] = list) -> None:
        """`losses` returns a sentence for each loss if the window closed now; if there is any, the user is asked."""
        super().__init__(widget)
        self._widget, self._losses = widget, losses
        # A weak reference: a strong one from a child would keep the window and the viewer alive.
        self._window: Callable[[], QWidget | None] = lambda: None
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802, D102
        kind, window = event.type(), self._window()
        if watched is self._widget and kind in (QEvent.Type.Show, QEvent.Type.ParentChange):
            self._find_window()
            if kind == QEvent.Type.ParentChange and self._widget.parentWidget() is None:
                self.removed.emit()
        elif window is not None and watched is window:
            if kind == QEvent.Type.Close:
                return self._ask(window, event)
            # Close does not mean closed: napari may still ask the user. Hide comes only after it has closed.
            if kind in (QEvent.Type.Hide, QEvent.Type.Show) and not event.spontaneous():
                window.setProperty(ANSWERED, False)
                self.gone.emit(kind == QEvent.Type.Hide)
        return super().eventFilter(watched, event)

    def window(self) -> QWidget | None:
        """The window that the widget is in, or was removed from."""
        return self._window()

    def _ask(self, window: QWidget, event: QEvent) -> bool:
        """Ask before closing a window with losses. Returns True to stop the event.

        The user is asked once for all widgets in the window.
        """
        if window.property(ANSWERED):
            return False
        watchers = [watcher for widget in window.findChildren(QWidget) for watcher in _watchers(widget)]
        losses = [sentence for watcher in watchers for sentence in watcher._losses()]
        if not losses:
            return False
        if not ask_to_close(window, losses):
            event.ignore()
            return True
        window.setProperty(ANSWERED, True)
        if not event.spontaneous():
            return False
        # The user clicked the window's close button. napari would ask again, as for any window with layers.
        event.ignore()
        QTimer.singleShot(0, window.close)
        return True

    def _find_window(self) -> None:
        """Find the outermost parent. A floating dock is a window, too, but not the viewer's."""
        top = self._widget
        while (parent := top.parentWidget()) is not None:
            top = parent
        if top is not self._widget and top is not self._window():
            self._window = weakref.ref(top)
            top.installEventFilter(self)


def ask_to_close(window: QWidget, losses: list[str]) -> bool:
    """Ask whether to close a window although something would be lost. Returns True to close it."""
    box = QMessageBox(QMessageBox.Icon.Warning, "Close the window?", "\n\n".join(losses), parent=window)
    close = box.addButton("Close", QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(box.addButton("Keep open", QMessageBox.ButtonRole.RejectRole))
    box.exec()
    return box.clickedButton() is close


def _watchers(widget: QWidget) -> list[WindowEvents]:
    return [child for child in widget.children() if isinstance(child, WindowEvents)]
