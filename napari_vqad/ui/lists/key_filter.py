"""Keys typed in a list: its own ones judge its rows, printable ones are the canvas' keys, the others Qt's."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView


class KeyFilter(QObject):
    """Watches a list or a table, where Qt would search for what is typed; an editor within keeps its keys."""

    def __init__(self, view: QAbstractItemView, keys: Mapping[str, Callable[[], object]] | None = None) -> None:
        """`keys` are those of the list itself, as Qt writes them."""
        super().__init__(view)
        self.keys = keys or {}
        view.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802, D102
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return super().eventFilter(watched, event)
        if act := self.keys.get(QKeySequence(event.keyCombination()).toString()):
            act()
            return True
        if event.text() and event.text().isprintable():
            event.ignore()  # so it goes to the parents, and napari's dock hands it on to the canvas
            return True
        return super().eventFilter(watched, event)
