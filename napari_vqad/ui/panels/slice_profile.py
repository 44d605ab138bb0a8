"""A plot of the slice scores that marks flagged slices and the slice in view. A click goes to a slice.

Bars are in reading order, the order of the slider below the canvas: the top of the head is on the left.
"""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_vqad.display import colours
from napari_vqad.display.profile import SliceProfile

BAR, FLAGGED, HERE = QColor(colours.BAR), QColor(colours.ALERT), QColor(colours.HERE)


class Profile(QWidget):
    """Shows the slice scores as bars, their threshold as a line, and AS_sample, if available, as a thin curve."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.shown = SliceProfile()
        self.here = 0
        self.setMouseTracking(True)
        self.setMinimumHeight(96)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802, D102
        return QSize(300, 104)

    @property
    def scores(self) -> np.ndarray:
        """The slice scores, (n,)."""
        return self.shown.scores

    @property
    def order(self) -> np.ndarray:
        """The grid index of each bar."""
        return self.shown.order

    def show_scores(self, profile: SliceProfile) -> None:
        """Show the scores of a grid's slices; slices whose scores are not final yet are hatched."""
        self.shown = profile
        self.update()

    def clear(self) -> None:
        """Remove all scores."""
        self.shown, self.here = SliceProfile(), 0
        self.update()

    def show_here(self, index: int) -> None:
        """Mark the slice in view."""
        self.here = index
        self.update()

    def _plot(self) -> QRectF:
        return QRectF(34, 6, self.width() - 40, self.height() - 24)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, D102
        painter = QPainter(self)
        self._draw(painter)
        painter.end()  # Qt crashes if Python keeps an active painter after the event

    def _draw(self, painter: QPainter) -> None:
        plot, shown, n = self._plot(), self.shown, len(self.scores)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().text().color()
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(ink)
        if not n:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "slice scores appear here")
            return
        seen, top = np.nan_to_num(self.scores), shown.top
        step = plot.width() / n
        for place, i in enumerate(self.order):
            height = plot.height() * max(0.0, float(seen[i])) / top
            colour = FLAGGED if shown.flagged[i] else BAR
            painter.fillRect(
                QRectF(plot.left() + place * step, plot.bottom() - height, max(step - 0.8, 0.8), height), colour
            )
            if shown.waiting[i]:
                column = QRectF(plot.left() + place * step, plot.top(), step, plot.height())
                painter.fillRect(column, QBrush(BAR, Qt.BrushStyle.BDiagPattern))
        if len(shown.sample) == n and shown.sample.max() > 0:
            heights = plot.height() * 0.95 * shown.sample[self.order] / shown.sample.max()
            points = [QPointF(plot.left() + (at + 0.5) * step, plot.bottom() - h) for at, h in enumerate(heights)]
            painter.setPen(QPen(ink, 1))
            painter.drawPolyline(points)
        y = plot.bottom() - plot.height() * shown.threshold / top
        painter.setPen(QPen(FLAGGED, 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
        x = plot.left() + (int(np.flatnonzero(self.order == self.here)[0]) + 0.5) * step
        painter.setPen(QPen(HERE, 1.6))
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom() + 2))
        self._labels(painter, plot, top, y, ink)

    def _labels(self, painter: QPainter, plot: QRectF, top: float, y: float, ink: QColor) -> None:
        metrics, shown = QFontMetricsF(painter.font()), self.shown
        painter.setPen(ink)
        painter.drawText(QPointF(2, plot.top() + metrics.ascent() - 2), shown.number(top))
        painter.drawText(QPointF(2, plot.bottom()), "0")
        if plot.top() + 12 < y < plot.bottom() - 12:
            painter.setPen(FLAGGED)
            painter.drawText(QPointF(2, y + 4), shown.number(shown.threshold))
        painter.setPen(ink)
        first, last = shown.places[self.order[0]], shown.places[self.order[-1]]
        base = plot.bottom() + metrics.ascent() + 3
        painter.drawText(QPointF(plot.left(), base), first)
        painter.drawText(QPointF(plot.right() - metrics.horizontalAdvance(last), base), last)
        bars, curve = shown.names
        left, right = (metrics.horizontalAdvance(words) for words in (first, last))
        room, middle = plot.width() - left - right - 12, plot.left() + (plot.width() + left - right) / 2
        for words in (f"{bars} (curve: {curve})", bars) if curve and len(shown.sample) else (bars,):
            if (width := metrics.horizontalAdvance(words)) <= room or words == bars:
                painter.drawText(QPointF(middle - width / 2, base), words)
                break

    def _index(self, event: QMouseEvent) -> int:
        plot = self._plot()
        part = (event.position().x() - plot.left()) / max(plot.width(), 1)
        return int(self.order[int(np.clip(part * len(self.order), 0, len(self.order) - 1))])

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802, D102
        if len(self.scores):
            self.chosen.emit(self._index(event))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802, D102
        if not len(self.scores):
            return
        i = self._index(event)
        QToolTip.showText(event.globalPosition().toPoint(), self.shown.words(i), self)
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.chosen.emit(i)
