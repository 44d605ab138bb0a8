"""The tour: a sequence of notes, each next to the widget that it explains."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

RING = "#ff9f1c"
GAP = 6  # pixels between a widget and its note


class Stop(NamedTuple):
    """A stop of the tour: a widget of the dock, and the title and text of its note."""

    widget: QWidget
    title: str
    text: str


class Tour(QFrame):
    """A note over the dock with Back, Next and End; a ring marks the widget. Escape and arrow keys work, too."""

    def __init__(self, area: QScrollArea, stops: Callable[[], list[Stop]]) -> None:
        """`stops` is called at the start of each tour, because the visible widgets change."""
        super().__init__(area.viewport())
        self.area, self._stops, self.at = area, stops, 0
        self.stops: list[Stop] = []
        self.setObjectName("tour")
        self.setStyleSheet(
            "#tour { background: #20303f; border: 1px solid " + RING + "; border-radius: 4px; }"
            "#tour QLabel { color: #f2f2f4; background: transparent; }"
        )
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.ring = QFrame(area.viewport())
        self.ring.setObjectName("ring")
        self.ring.setStyleSheet(
            "#ring { border: 2px solid " + RING + "; border-radius: 4px; background: transparent; }"
        )
        self.ring.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.words.setTextFormat(Qt.TextFormat.RichText)
        row = QHBoxLayout()
        self.place = QLabel()
        row.addWidget(self.place, 1)
        self.back, self.next, self.end = QPushButton("Back"), QPushButton("Next"), QPushButton("End")
        for button, act, tip in (
            (self.back, lambda: self.go(-1), "Previous note (left arrow)."),
            (self.next, lambda: self.go(1), "Next note (right arrow)."),
            (self.end, self.stop, "End the tour (Escape)."),
        ):
            button.setToolTip(tip)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the tour itself handles the keys
            button.clicked.connect(act)
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.addWidget(self.words)
        column.addLayout(row)
        area.viewport().installEventFilter(self)
        self.stop()

    def start(self) -> None:
        """Begin at the first stop."""
        self.stops, self.at = self._stops(), 0
        self.go(0)

    def go(self, by: int) -> None:
        """Move by this number of stops; moving past the last one ends the tour."""
        self.at = max(self.at + by, 0)
        if self.at >= len(self.stops):
            self.stop()
            return
        stop = self.stops[self.at]
        self.words.setText(f"<b>{stop.title}</b><br>{stop.text}")
        self.place.setText(f"{self.at + 1} of {len(self.stops)}")
        self.back.setEnabled(self.at > 0)
        self.next.setText("Next" if self.at + 1 < len(self.stops) else "Done")
        self.area.ensureWidgetVisible(stop.widget, 0, 160)  # with room for the note
        self.show()
        self.ring.show()
        self._place()
        self.setFocus()

    def stop(self) -> None:
        """Hide the note and the ring."""
        self.hide()
        self.ring.hide()

    def _place(self) -> None:
        """Place the ring around the widget, and the note below it, or above it if there is no room below."""
        view, widget = self.area.viewport(), self.stops[self.at].widget
        corner = widget.mapTo(view, widget.rect().topLeft())
        self.ring.setGeometry(corner.x() - 3, corner.y() - 3, widget.width() + 6, widget.height() + 6)
        width = min(view.width() - 12, 380)
        self.setFixedWidth(width)
        height = self.heightForWidth(width) if self.hasHeightForWidth() else self.sizeHint().height()
        below = corner.y() + widget.height() + GAP
        top = below if below + height <= view.height() else max(corner.y() - height - GAP, 2)
        self.setGeometry((view.width() - width) // 2, top, width, height)
        self.ring.raise_()
        self.raise_()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802, D102
        if event.type() == QEvent.Type.Resize and self.isVisible():
            self._place()
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802, D102
        keys = {Qt.Key.Key_Right: 1, Qt.Key.Key_Return: 1, Qt.Key.Key_Left: -1}
        if event.key() == Qt.Key.Key_Escape:
            self.stop()
        elif event.key() in keys:
            self.go(keys[Qt.Key(event.key())])
        else:
            super().keyPressEvent(event)
