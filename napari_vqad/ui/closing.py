"""Notices when the viewer's window closes, or when a widget is taken out of it."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QWidget


class Closing(QObject):
    """Watches a widget and the window it belongs to, docked or floating."""

    leaving = Signal()  # the window asks whether it may close: work should stop
    removed = Signal()  # the widget was taken out of the window, as by the cross of its dock
    gone = Signal(bool)  # the window has closed (True), or is shown again

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self._widget = widget
        # Weakly: a reference from a child of the window would keep the window, and the viewer with it.
        self._window: Callable[[], QWidget | None] = lambda: None
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802, D102
        kind = event.type()
        if watched is self._widget and kind in (QEvent.Type.Show, QEvent.Type.ParentChange):
            self._find_window()
            if kind == QEvent.Type.ParentChange and self._widget.parentWidget() is None:
                self.removed.emit()
        elif watched is self._window():
            # The person may still say no: napari asks while it handles Close. Only a window that closed is hidden.
            if kind == QEvent.Type.Close:
                self.leaving.emit()
            elif kind in (QEvent.Type.Hide, QEvent.Type.Show) and not event.spontaneous():
                self.gone.emit(kind == QEvent.Type.Hide)
        return super().eventFilter(watched, event)

    def window(self) -> QWidget | None:
        """The window that the widget is in, or was taken out of."""
        return self._window()

    def _find_window(self) -> None:
        """The outermost parent: a floating dock is a window of its own, and not the one that counts."""
        top = self._widget
        while (parent := top.parentWidget()) is not None:
            top = parent
        if top is not self._widget and top is not self._window():
            self._window = weakref.ref(top)
            top.installEventFilter(self)
