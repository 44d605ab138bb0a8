"""Handle keys pressed in a list: its own keys act on rows, other printable keys go to the canvas, the rest to Qt."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qtpy.QtCore import QEvent, QObject
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QAbstractItemView


class KeyFilter(QObject):
    """Filters the keys of a list or table, so that Qt does not search for typed text. Cell editors keep their keys."""

    def __init__(self, view: QAbstractItemView, keys: Mapping[str, Callable[[], object]] | None = None) -> None:
        """`keys` are the list's own keys, in Qt's form, and what they do."""
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
            event.ignore()  # passes it to the parents; napari's dock forwards it to the canvas
            return True
        return super().eventFilter(watched, event)
