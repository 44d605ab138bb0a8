"""A plot of an ROC or precision-recall curve with a marker for the present threshold. A click chooses a threshold."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetricsF, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_vqad.display import colours
from napari_vqad.display.rate_plot import RateLine, RatePlot, nearest, thinned

# Blue and orange are told apart by the colour-blind; the second line is dashed, too. (dark theme, bright theme)
LINES = ((colours.HERE, "#0a6fb3"), ("#a9b4c2", "#5a6470"))
MARKER = QColor(colours.ALERT)
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 16, 26  # pixels around the plot


class CurvePlot(QWidget):
    """Two curves, of voxels and of slices, in a square from 0 to 1."""

    chosen = Signal(float)  # the threshold of the point that was clicked

    def __init__(self, tip: str) -> None:
        super().__init__()
        self.shown: RatePlot | None = None
        self._drawn: list[tuple[np.ndarray, np.ndarray]] = []
        self.setToolTip(tip)
        self.setMouseTracking(True)
        self.setMinimumSize(150, 130)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:  # noqa: N802, D102
        return QSize(210, 190)

    def show_plot(self, plot: RatePlot | None) -> None:
        """Show a plot, or nothing."""
        self.shown = plot
        self._drawn = []
        for line in plot.lines if plot is not None else ():
            points = thinned(line.x, line.y)
            self._drawn.append((line.x[points], line.y[points]))
        self.update()

    def place(self, x: float, y: float) -> QPointF:
        """The pixel of a point of the plot."""
        area = self._area()
        return QPointF(area.left() + x * area.width(), area.bottom() - y * area.height())

    def _area(self) -> QRectF:
        return QRectF(LEFT, TOP, max(self.width() - LEFT - RIGHT, 1), max(self.height() - TOP - BOTTOM, 1))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, D102
        painter = QPainter(self)
        self._draw(painter)
        painter.end()  # Qt crashes if Python keeps an active painter after the event

    def _draw(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        ink = self.palette().text().color()
        painter.setPen(ink)
        if (plot := self.shown) is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "curves appear here")
            return
        dark = ink.lightness() > 128  # the theme
        self._axes(painter, plot, ink, dark)
        for number in reversed(range(len(plot.lines))):
            colour = QColor(LINES[number][not dark])
            style = Qt.PenStyle.DashLine if number else Qt.PenStyle.SolidLine
            painter.setPen(QPen(colour, 1.2 if number else 2.0, style))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawPolyline(
                QPolygonF([self.place(x, y) for x, y in zip(*(p.tolist() for p in self._drawn[number]), strict=True)])
            )
        for number, line in reversed(list(enumerate(plot.lines))):
            if line.marker is not None:
                self._mark(painter, self.place(*line.marker), bool(number), ink)

    def _axes(self, painter: QPainter, plot: RatePlot, ink: QColor, dark: bool) -> None:
        area, metrics = self._area(), QFontMetricsF(painter.font())
        faint = QColor(ink)
        faint.setAlpha(110)
        painter.setPen(QPen(faint, 1))
        painter.drawRect(area)
        painter.setPen(QPen(faint, 1, Qt.PenStyle.DotLine))
        painter.drawLine(self.place(*plot.chance[0]), self.place(*plot.chance[1]))
        painter.setPen(ink)
        base = area.bottom() + metrics.ascent() + 2
        for value in (0.0, 0.5, 1.0):
            words = f"{value:g}"
            width, x, y = metrics.horizontalAdvance(words), self.place(value, 0).x(), self.place(0, value).y()
            painter.drawText(QPointF(min(x - width / 2, self.width() - width), base), words)
            painter.drawText(QPointF(area.left() - width - 4, y + metrics.ascent() / 2 - 1), words)
        middle = area.center().x() - metrics.horizontalAdvance(plot.x_title) / 2
        painter.drawText(QPointF(middle, base + metrics.height() - 1), plot.x_title)
        painter.save()
        painter.translate(metrics.ascent(), area.center().y() + metrics.horizontalAdvance(plot.y_title) / 2)
        painter.rotate(-90)
        painter.drawText(QPointF(0, 0), plot.y_title)
        painter.restore()
        painter.drawText(QPointF(area.left(), TOP - 5), plot.title)
        x = area.right()
        for number, line in reversed(list(enumerate(plot.lines))):
            x -= metrics.horizontalAdvance(line.name)
            painter.setPen(QColor(LINES[number][not dark]))
            painter.drawText(QPointF(x, TOP - 5), line.name)
            x -= metrics.horizontalAdvance("  ")

    def _mark(self, painter: QPainter, at: QPointF, square: bool, ink: QColor) -> None:
        """Mark a threshold: a circle for voxels, a square for slices."""
        painter.setPen(QPen(ink, 1))
        painter.setBrush(MARKER)
        if square:
            painter.drawRect(QRectF(at.x() - 3, at.y() - 3, 6, 6))
        else:
            painter.drawEllipse(at, 4.5, 4.5)

    def _nearest(self, event: QMouseEvent) -> tuple[RateLine, int] | None:
        """The point of the first line under the mouse."""
        if self.shown is None:
            return None
        area, line = self._area(), self.shown.lines[0]
        x = (event.position().x() - area.left()) / area.width()
        y = (area.bottom() - event.position().y()) / area.height()
        return line, nearest(line, x, y)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802, D102
        if (found := self._nearest(event)) is not None and event.button() == Qt.MouseButton.LeftButton:
            line, i = found
            self.chosen.emit(float(line.thresholds[i]))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802, D102
        if self.shown is None or (found := self._nearest(event)) is None:
            return
        line, i = found
        words = (
            f"{line.name} above {line.thresholds[i]:.2f}: {self.shown.x_title} {line.x[i]:.3f}, "
            f"{self.shown.y_title} {line.y[i]:.3f}"
        )
        QToolTip.showText(event.globalPosition().toPoint(), words, self)
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.chosen.emit(float(line.thresholds[i]))
