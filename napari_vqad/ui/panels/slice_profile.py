"""A plot of the slice scores that marks flagged slices and the slice in view. A click goes to a slice.

Bars are in reading order, the order of the slider below the canvas: the top of the head is on the left.
"""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.slice_numbers import numbers, reading_order

BAR, FLAGGED, HERE = QColor("#7d8a99"), QColor("#ff9f1c"), QColor("#59bfff")


class Profile(QWidget):
    """Shows the slice scores as bars, their threshold as a line, and AS_sample, if available, as a thin curve."""

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.flagged, self.waiting = np.zeros(0), np.zeros(0, bool), np.zeros(0, bool)
        self.places: list[str] = []  # number and position of each slice of the grid, in words
        self.order = np.zeros(0, int)  # the grid index of each bar
        self.axis_note, self.unit, self.sample = "", "nats", np.zeros(0)
        self.names: tuple[str, str | None] = "", None
        self.threshold, self.here = 0.0, 0
        self.setMouseTracking(True)
        self.setMinimumHeight(96)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802, D102
        return QSize(300, 104)

    def show_scores(
        self,
        scores: np.ndarray,
        flagged: np.ndarray,
        threshold: float,
        grid: Grid,
        waiting: np.ndarray,
        unit: str = "nats",
        sample: np.ndarray | None = None,
        names: tuple[str, str | None] = ("Slice score, SD", None),
    ) -> None:
        """Show the scores (n,) of a grid's slices, NaN where not ready, and their threshold, both in `unit`.

        Args:
            waiting: bool (n,), slices whose scores are not final yet; they are hatched.
            unit: "nats" for AS_sample, or "SD".
            sample: AS_sample, (n,) in nats, to show in addition to another score.
            names: labels of the bars, with their unit, and of the curve; None if the detector has no curve.
        """
        self.unit, self.names = unit, names
        alone = sample is None or names[1] is None or unit == "nats"
        self.sample = np.zeros(0) if sample is None or alone else np.nan_to_num(sample)
        self.scores, self.flagged, self.threshold, self.waiting = scores, flagged, threshold, waiting
        places, self.axis_note = [grid.slice_label(i) for i in range(len(grid))], grid.axis_note
        head = grid.kind == "head"  # the position of a frame is its number
        self.places = [f"{n}, {at}" if head else at for n, at in zip(numbers(grid), places, strict=True)]
        self.order = reading_order(grid)
        self.update()

    def clear(self) -> None:
        """Remove all scores."""
        self.scores, self.flagged, self.waiting, self.places = np.zeros(0), np.zeros(0, bool), np.zeros(0, bool), []
        self.order, self.threshold, self.here = np.zeros(0, int), 0.0, 0
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
        plot, n = self._plot(), len(self.scores)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().text().color()
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        painter.setPen(ink)
        if not n:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "slice scores appear here")
            return
        seen = np.nan_to_num(self.scores)
        top = max(float(seen.max()), 1.3 * self.threshold, 1e-6)
        step = plot.width() / n
        for place, i in enumerate(self.order):
            height = plot.height() * max(0.0, float(seen[i])) / top
            colour = FLAGGED if self.flagged[i] else BAR
            painter.fillRect(
                QRectF(plot.left() + place * step, plot.bottom() - height, max(step - 0.8, 0.8), height), colour
            )
            if self.waiting[i]:
                column = QRectF(plot.left() + place * step, plot.top(), step, plot.height())
                painter.fillRect(column, QBrush(BAR, Qt.BrushStyle.BDiagPattern))
        if len(self.sample) == n and self.sample.max() > 0:
            heights = plot.height() * 0.95 * self.sample[self.order] / self.sample.max()
            points = [QPointF(plot.left() + (at + 0.5) * step, plot.bottom() - h) for at, h in enumerate(heights)]
            painter.setPen(QPen(ink, 1))
            painter.drawPolyline(points)
        y = plot.bottom() - plot.height() * self.threshold / top
        painter.setPen(QPen(FLAGGED, 1, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
        x = plot.left() + (int(np.flatnonzero(self.order == self.here)[0]) + 0.5) * step
        painter.setPen(QPen(HERE, 1.6))
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom() + 2))
        self._labels(painter, plot, top, y, ink)

    def _labels(self, painter: QPainter, plot: QRectF, top: float, y: float, ink: QColor) -> None:
        metrics = QFontMetricsF(painter.font())
        painter.setPen(ink)
        painter.drawText(QPointF(2, plot.top() + metrics.ascent() - 2), self._number(top))
        painter.drawText(QPointF(2, plot.bottom()), "0")
        if plot.top() + 12 < y < plot.bottom() - 12:
            painter.setPen(FLAGGED)
            painter.drawText(QPointF(2, y + 4), self._number(self.threshold))
        painter.setPen(ink)
        first, last = self.places[self.order[0]], self.places[self.order[-1]]
        base = plot.bottom() + metrics.ascent() + 3
        painter.drawText(QPointF(plot.left(), base), first)
        painter.drawText(QPointF(plot.right() - metrics.horizontalAdvance(last), base), last)
        bars, curve = self.names
        left, right = (metrics.horizontalAdvance(words) for words in (first, last))
        room, middle = plot.width() - left - right - 12, plot.left() + (plot.width() + left - right) / 2
        for words in (f"{bars} (curve: {curve})", bars) if curve and len(self.sample) else (bars,):
            if (width := metrics.horizontalAdvance(words)) <= room or words == bars:
                painter.drawText(QPointF(middle - width / 2, base), words)
                break

    def _number(self, score: float) -> str:
        return f"{score:.0f}" if self.unit == "nats" else f"{score:.1f}"

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
        score = "not analysed" if np.isnan(self.scores[i]) else f"{self._number(self.scores[i])} {self.unit}"
        if len(self.sample) == len(self.scores):
            score += f", {self.names[1]} {self.sample[i]:.0f} nats"
        score += ", not final yet" if self.waiting[i] else ""
        QToolTip.showText(
            event.globalPosition().toPoint(),
            f"Slice {self.places[i]}{self.axis_note}: {score}".replace("Slice frame", "Frame"),
            self,
        )
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.chosen.emit(i)
