"""Notices when the viewer's window closes, or when a widget is taken out of it; asks first where something is lost."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, QTimer, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

ANSWERED = "napari_vqad_may_close"  # a property of a window whose closing was agreed to


class WindowEvents(QObject):
    """Watches a widget and the window it belongs to, docked or floating."""

    removed = Signal()  # the widget was taken out of the window, as by the cross of its dock
    gone = Signal(bool)  # the window has closed (True), or is shown again

    def __init__(self, widget: QWidget, losses: Callable[[], list[str]] = list) -> None:
        """`losses` says what would be lost if the window closed now, a sentence each; the person is asked then."""
        super().__init__(widget)
        self._widget, self._losses = widget, losses
        # Weakly: a reference from a child of the window would keep the window, and the viewer with it.
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
            # The window may still stay: napari asks while it handles Close. Only a window that closed is hidden.
            if kind in (QEvent.Type.Hide, QEvent.Type.Show) and not event.spontaneous():
                window.setProperty(ANSWERED, False)
                self.gone.emit(kind == QEvent.Type.Hide)
        return super().eventFilter(watched, event)

    def window(self) -> QWidget | None:
        """The window that the widget is in, or was taken out of."""
        return self._window()

    def _ask(self, window: QWidget, event: QEvent) -> bool:
        """Keep a window open that the person does not want to close after all; True when nobody else may hear of it.

        All widgets in the window are asked for at once, and the person only once.
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
        # By the window's own cross: napari would ask once more, as it does of every window that holds layers.
        event.ignore()
        QTimer.singleShot(0, window.close)
        return True

    def _find_window(self) -> None:
        """The outermost parent: a floating dock is a window of its own, and not the one that counts."""
        top = self._widget
        while (parent := top.parentWidget()) is not None:
            top = parent
        if top is not self._widget and top is not self._window():
            self._window = weakref.ref(top)
            top.installEventFilter(self)


def ask_to_close(window: QWidget, losses: list[str]) -> bool:
    """Ask whether to close a window although something is lost with it."""
    box = QMessageBox(QMessageBox.Icon.Warning, "Close the window?", "\n\n".join(losses), parent=window)
    close = box.addButton("Close", QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(box.addButton("Keep open", QMessageBox.ButtonRole.RejectRole))
    box.exec()
    return box.clickedButton() is close


def _watchers(widget: QWidget) -> list[WindowEvents]:
    return [child for child in widget.children() if isinstance(child, WindowEvents)]
