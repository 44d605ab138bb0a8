"""A plot of two histograms, the scan in front of the healthy one, with thresholds as lines that can be moved."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetricsF, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget
from superqt.utils import qthrottled

from napari_vqad.display.histograms import Histogram, Line

SCAN, HEALTHY = QColor(89, 191, 255, 190), QColor(125, 138, 153, 150)
LINES = (QColor("#ff9f1c"), QColor("#e0559f"))  # of the first and the second threshold
NEAR = 6  # px, the greatest distance from a line at which the mouse takes it
STEP = {Qt.Key.Key_Left: -0.01, Qt.Key.Key_Right: 0.01, Qt.Key.Key_PageDown: -0.1, Qt.Key.Key_PageUp: 0.1}
PAUSE = 100  # ms between two signals while a line moves; the first and the last are always sent
TIP = (
    "Values of this scan (blue) in front of healthy values (grey). Drag a line, or select it with the up and down keys "
    "and move it with the left and right keys, to change its threshold. Heights are square roots of shares, so that "
    "few high values are visible."
)


class HistogramPlot(QWidget):
    """Heights are square roots of shares. The lines move with the mouse and with the arrow keys.

    Attributes:
        shown: what is drawn; None if there is nothing.
        moved: name of the setting and its new value in the unit of the histogram, while a line moves.
    """

    moved = Signal(str, float)

    def __init__(self) -> None:
        super().__init__()
        self.shown: Histogram | None = None
        self._held: str | None = None  # the setting whose line is being dragged
        self._selected = 0
        self._at: dict[str, float] = {}  # where lines are that moved; the histogram may still have their old values
        self._untold: set[str] = set()  # settings in `_at` that `moved` has not told yet
        self._notify = qthrottled(self._tell, timeout=PAUSE, leading=True)
        self.setToolTip(TIP)
        self.setMinimumHeight(84)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802, D102
        return QSize(300, 88)

    def show_histogram(self, found: Histogram | None) -> None:
        """Show a histogram, or nothing. A line that is being moved stays where the user holds it."""
        if found is None or self.shown is None or found.title != self.shown.title:
            self._held, self._at, self._untold = None, {}, set()
        elif self._held is None:
            self._at = {setting: value for setting, value in self._at.items() if setting in self._untold}
        self.shown = found
        self.setToolTip(f"{TIP} Unit: {found.unit}." if found else TIP)
        self.setAccessibleName(found.title if found else "")
        self.setAccessibleDescription("; ".join(f"{line.title} {line.value:.2f}" for line in self._lines()))
        self.update()

    def x_of(self, value: float) -> float:
        """The horizontal position of a value, px."""
        plot, low, high = self._plot(), *self._range()
        return plot.left() + plot.width() * (value - low) / (high - low)

    # ---- moving a line ----------------------------------------------------------------------------------------------

    def _lines(self) -> tuple[Line, ...]:
        return self.shown.lines if self.shown else ()

    def _value(self, line: Line) -> float:
        return self._at.get(line.setting, line.value)

    def _line_at(self, x: float) -> Line | None:
        near = [line for line in self._lines() if line.active and abs(self.x_of(self._value(line)) - x) <= NEAR]
        return min(near, key=lambda line: abs(self.x_of(self._value(line)) - x), default=None)

    def _move(self, setting: str, value: float) -> None:
        low, high = self._range()
        self._at[setting] = float(np.clip(value, max(low, 0.0), high))
        self._untold.add(setting)
        self.update()
        self._notify()

    def _tell(self) -> None:
        untold, self._untold = self._untold, set()
        for setting in untold:
            self.moved.emit(setting, round(self._at[setting], 4))

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802, D102
        line = self._line_at(event.position().x())
        if event.button() != Qt.MouseButton.LeftButton or line is None:
            super().mousePressEvent(event)
            return
        self._held, self._selected = line.setting, self._lines().index(line)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:  # noqa: N802, D102
        x = event.position().x()
        if self._held is not None:
            plot, low, high = self._plot(), *self._range()
            self._move(self._held, low + (high - low) * (x - plot.left()) / plot.width())
        shape = Qt.CursorShape.SplitHCursor if self._held or self._line_at(x) else Qt.CursorShape.ArrowCursor
        self.setCursor(shape)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:  # noqa: N802, D102
        self._held = None
        super().mouseReleaseEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802, D102
        active, key = [line for line in self._lines() if line.active], Qt.Key(event.key())
        if not active or key not in (*STEP, Qt.Key.Key_Up, Qt.Key.Key_Down):
            super().keyPressEvent(event)
            return
        self._selected = min(self._selected, len(active) - 1)
        if key in STEP:
            low, high = self._range()
            line = active[self._selected]
            self._move(line.setting, self._value(line) + STEP[key] * (high - low))
        else:
            self._selected = (self._selected + (1 if key == Qt.Key.Key_Down else -1)) % len(active)
        self.update()

    # ---- drawing ----------------------------------------------------------------------------------------------------

    def _plot(self) -> QRectF:
        return QRectF(6, 16, self.width() - 12, self.height() - 34)

    def _range(self) -> tuple[float, float]:
        assert self.shown is not None
        return float(self.shown.edges[0]), float(self.shown.edges[-1])

    def event(self, event: QEvent) -> bool:
        """Redraw when the keyboard focus comes or goes: the line that keys move is drawn thicker."""
        if event.type() in (QEvent.Type.FocusIn, QEvent.Type.FocusOut):
            self.update()
        return bool(super().event(event))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, D102
        painter = QPainter(self)
        self._draw(painter)
        painter.end()  # Qt crashes if Python keeps an active painter after the event

    def _draw(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        ink = self.palette().color(QPalette.ColorRole.Text)
        painter.setPen(ink)
        if (h := self.shown) is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "values appear here after an analysis")
            return
        plot = self._plot()
        step, top = plot.width() / len(h.scan), np.sqrt(max(h.scan.max(), h.healthy.max()))
        for shares, colour in ((h.healthy, HEALTHY), (h.scan, SCAN)):
            heights = plot.height() * np.sqrt(np.maximum(shares, 0)) / top
            for i, height in enumerate(heights):
                painter.fillRect(
                    QRectF(plot.left() + i * step, plot.bottom() - height, max(step - 0.6, 0.6), height), colour
                )
        self._draw_scale(painter, h, plot, ink)
        self._draw_lines(painter, plot)

    def _draw_scale(self, painter: QPainter, h: Histogram, plot: QRectF, ink: QColor) -> None:
        metrics = QFontMetricsF(painter.font())
        base = plot.bottom() + metrics.ascent() + 3
        left, right = (f"{edge:.1f}".replace("-", "−") for edge in (h.edges[0], h.edges[-1]))
        painter.drawText(QPointF(plot.left(), base), left)
        painter.drawText(QPointF(plot.right() - metrics.horizontalAdvance(right), base), right)
        dark = ink.lightness() > 128  # the theme
        words = [
            (f"{h.title}: ", ink),
            ("this scan", QColor("#59bfff" if dark else "#0a6fb3")),
            (" · healthy", QColor("#a9b4c2" if dark else "#5a6470")),
        ]
        left_of = plot.center().x() - metrics.horizontalAdvance("".join(word for word, _ in words)) / 2
        for word, colour in words:
            painter.setPen(colour)
            painter.drawText(QPointF(left_of, base), word)
            left_of += metrics.horizontalAdvance(word)

    def _draw_lines(self, painter: QPainter, plot: QRectF) -> None:
        """Draw each line below its title; two titles that would overlap are drawn on both sides of their lines."""
        metrics = QFontMetricsF(painter.font())
        dark = self.palette().color(QPalette.ColorRole.Text).lightness() > 128
        active = [line for line in self._lines() if line.active]
        at = sorted(self._lines(), key=self._value)
        for i, line in enumerate(at):
            colour = LINES[self._lines().index(line) % len(LINES)]
            colour = colour if dark else colour.darker(135)
            chosen = self.hasFocus() and line.active and active.index(line) == min(self._selected, len(active) - 1)
            style = Qt.PenStyle.SolidLine if line.active else Qt.PenStyle.DotLine
            x = self.x_of(self._value(line))
            painter.setPen(QPen(colour, 2.6 if chosen else 1.6, style))
            painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
            wide = metrics.horizontalAdvance(line.title)
            towards = x - wide - 2 if i == 0 and len(at) > 1 else x + 2 if len(at) > 1 else x - wide / 2
            painter.drawText(QPointF(float(np.clip(towards, 0, self.width() - wide)), plot.top() - 4), line.title)
