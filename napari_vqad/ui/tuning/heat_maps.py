"""Heat maps of a sweep: a row of panels, one cell for each combination of settings."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QFontMetricsF, QHelpEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_vqad.display.colours import ALERT
from napari_vqad.tuning.sweep_view import SweepView

COLOURS = mpl.colormaps["cividis"]  # made for the colour-blind, and rising in lightness
LINE = 13  # px, height of a line of words
GAP = 12  # px between panels
BAR = 10  # px, width of the colour bar


class HeatMapPlot(QWidget):
    """Draws the heat maps; a click on a cell chooses its settings."""

    chosen = Signal(int)  # index of the cell

    def __init__(self) -> None:
        super().__init__()
        self.shown: SweepView | None = None
        self.setMouseTracking(True)
        self.setMinimumSize(260, 96)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:  # noqa: N802, D102
        return QSize(560, 130)

    def show_maps(self, maps: SweepView | None) -> None:
        """Show heat maps, or nothing."""
        self.shown = maps
        self.update()

    # ---- geometry -------------------------------------------------------------------------------------------------

    def cell_rect(self, index: int) -> QRectF:
        """Where a cell is drawn."""
        assert self.shown is not None
        rest, panel = divmod(index, self.shown.shape[2])
        column, row = divmod(rest, self.shown.shape[1])
        box = self._panel_rect(panel)
        width, height = box.width() / self.shown.shape[0], box.height() / self.shown.shape[1]
        return QRectF(box.left() + column * width, box.top() + row * height, width, height)

    def cell_at(self, point: QPointF) -> int | None:
        """The cell at a point; None beside the cells."""
        n = len(self.shown.values) if self.shown is not None else 0
        return next((index for index in range(n) if self.cell_rect(index).contains(point)), None)

    def _panel_rect(self, panel: int) -> QRectF:
        maps = self.shown
        assert maps is not None
        metrics = QFontMetricsF(self._font())
        words = max(metrics.horizontalAdvance(" · ".join(filter(None, tick))) for tick in maps.ticks[1])
        left = words + 6 + (LINE + 2 if maps.titles[1] else 0)
        right = BAR + 10 + max((metrics.horizontalAdvance(word) for word in self._bar_words()), default=0)
        top = LINE + 4 if maps.titles[2] else 4
        bottom = LINE * (1 + any(tick.other for tick in maps.ticks[0])) + LINE + 4
        n = len(maps.ticks[2])
        width = max(8.0, (self.width() - left - right - GAP * (n - 1)) / n)
        return QRectF(left + panel * (width + GAP), top, width, max(8.0, self.height() - top - bottom))

    def _bar_words(self) -> list[str]:
        maps = self.shown
        limits = maps.limits() if maps is not None else None
        if maps is None or limits is None:
            return []
        return [number(limits[1], maps.digits), number(limits[0], maps.digits), maps.unit]

    def _font(self):
        font = self.font()
        font.setPixelSize(10)
        return font

    # ---- events -----------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Choose the cell below the pointer."""
        index = self.cell_at(event.position())
        if index is not None and event.button() == Qt.MouseButton.LeftButton:
            self.chosen.emit(index)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Show a hand above cells, because they can be clicked."""
        above = self.cell_at(event.position()) is not None
        self.setCursor(Qt.CursorShape.PointingHandCursor if above else Qt.CursorShape.ArrowCursor)

    def event(self, event: QEvent) -> bool:
        """Show the tooltip of the cell below the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            index = self.cell_at(QPointF(event.pos()))
            words = "Each cell is an analysis with its own settings. Click one to move the sliders there."
            QToolTip.showText(event.globalPos(), self.shown.tips[index] if self.shown and index is not None else words)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, D102
        painter = QPainter(self)
        self._draw(painter)
        painter.end()  # Qt crashes if Python keeps an active painter after the event

    # ---- drawing ----------------------------------------------------------------------------------------------------

    def _draw(self, painter: QPainter) -> None:
        painter.setFont(self._font())
        ink = self.palette().text().color()
        painter.setPen(ink)
        if (maps := self.shown) is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "the heat maps of a sweep appear here")
            return
        for index, value in enumerate(maps.values):
            self._draw_cell(painter, self.cell_rect(index), value, ink)
        if maps.here is not None:
            self._draw_frame(painter, self.cell_rect(maps.here))
        painter.setPen(ink)
        self._draw_words(painter, maps)
        self._draw_bar(painter, maps)

    def _draw_cell(self, painter: QPainter, box: QRectF, value: float | None, ink: QColor) -> None:
        maps = self.shown
        assert maps is not None
        inner = box.adjusted(0.5, 0.5, -0.5, -0.5)
        faint = QColor(ink)
        faint.setAlpha(45)
        if value is None:
            painter.fillRect(inner, QBrush(faint, Qt.BrushStyle.BDiagPattern))
            painter.setPen(QPen(faint, 1))
            painter.drawRect(inner)
            return
        words, pen = number(value, maps.digits), ink
        limits = maps.limits()
        if np.isfinite(value) and limits is not None:
            colour = colour_of(value, limits)
            painter.fillRect(inner, colour)
            pen = QColor("black") if colour.lightnessF() > 0.5 else QColor("white")
        else:
            painter.setPen(QPen(faint, 1))
            painter.drawRect(inner)
        metrics = QFontMetricsF(painter.font())
        if metrics.horizontalAdvance(words) <= inner.width() - 3 and metrics.height() <= inner.height() + 2:
            painter.setPen(pen)
            painter.drawText(inner, Qt.AlignmentFlag.AlignCenter, words)

    def _draw_frame(self, painter: QPainter, box: QRectF) -> None:
        """A frame that is visible on every colour."""
        for width, colour in ((5.0, "#101014"), (2.5, ALERT)):
            pen = QPen(QColor(colour), width)
            pen.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            painter.setPen(pen)
            painter.drawRect(box.adjusted(1.5, 1.5, -1.5, -1.5))

    def _draw_words(self, painter: QPainter, maps: SweepView) -> None:
        metrics = QFontMetricsF(painter.font())
        centre = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter
        for panel, tick in enumerate(maps.ticks[2]):
            box = self._panel_rect(panel)
            if maps.titles[2]:
                words = f"{maps.titles[2]} = {' · '.join(filter(None, tick))}"
                painter.drawText(
                    QRectF(box.left() - GAP / 2, box.top() - LINE - 2, box.width() + GAP, LINE), centre, words
                )
            step = box.width() / len(maps.ticks[0])
            for line in (0, 1):
                words_of = [tick[line] for tick in maps.ticks[0]]
                widest = max(metrics.horizontalAdvance(words) for words in words_of)
                every = max(1, int(np.ceil((widest + 4) / step)))
                for i in range(0, len(words_of), every):
                    place = QRectF(box.left() + (i - 1) * step, box.bottom() + 2 + line * LINE, 3 * step, LINE)
                    painter.drawText(place, centre, words_of[i])
        first, last = self._panel_rect(0), self._panel_rect(len(maps.ticks[2]) - 1)
        lines = 1 + any(tick.other for tick in maps.ticks[0])
        across = QRectF(first.left() - 20, first.bottom() + 2 + lines * LINE, last.right() - first.left() + 40, LINE)
        painter.drawText(across, centre, maps.titles[0])
        step = first.height() / len(maps.ticks[1])
        for i, tick in enumerate(maps.ticks[1]):
            words = " · ".join(filter(None, tick))
            place = QRectF(0, first.top() + i * step, first.left() - 4, step)
            painter.drawText(place, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, words)
        if maps.titles[1]:
            painter.save()
            painter.translate(0, first.bottom())
            painter.rotate(-90)
            painter.drawText(QRectF(-20, 0, first.height() + 40, LINE), centre, maps.titles[1])
            painter.restore()

    def _draw_bar(self, painter: QPainter, maps: SweepView) -> None:
        """The colour bar: the highest value above, the lowest below."""
        limits = maps.limits()
        if limits is None:
            return
        last = self._panel_rect(len(maps.ticks[2]) - 1)
        bar = QRectF(last.right() + 6, last.top(), BAR, last.height())
        for y in range(int(bar.height())):
            share = 1 - y / max(bar.height() - 1, 1)
            painter.fillRect(QRectF(bar.left(), bar.top() + y, BAR, 1.5), QColor.fromRgbF(*COLOURS(share)))
        high, low, unit = self._bar_words()
        x, width = bar.right() + 3, self.width() - bar.right()
        left = Qt.AlignmentFlag.AlignLeft
        painter.drawText(QRectF(x, bar.top() - 2, width, LINE), left, high)
        painter.drawText(QRectF(x, bar.bottom() - LINE + 1, width, LINE), left, low)
        painter.drawText(QRectF(x, bar.center().y() - LINE / 2, width, LINE), left, unit)


def colour_of(value: float, limits: tuple[float, float]) -> QColor:
    """The colour of a value; the middle one if all values are equal."""
    low, high = limits
    share = (value - low) / (high - low) if high > low else 0.5
    return QColor.fromRgbF(*(float(part) for part in COLOURS(share)))


def number(value: float, digits: int) -> str:
    """A value in words; a dash if it is not defined."""
    return "–" if not np.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")
