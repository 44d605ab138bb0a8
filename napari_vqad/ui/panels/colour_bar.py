"""The colour bar of the map in view, with its unit and its healthy 99th percentile."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QLinearGradient, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_vqad.display.colours import heat


class Legend(QWidget):
    """A colour bar. Its scale comes from healthy scans and is the same for all scans."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high, self.unit = 0.0, 0.0, ""
        self.healthy: float | None = None
        self.setVisible(False)  # no map is shown yet
        policy = QSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        policy.setRetainSizeWhenHidden(True)  # the widgets below must not move when it is hidden
        self.setSizePolicy(policy)

    def sizeHint(self) -> QSize:  # noqa: N802, D102
        return QSize(300, 34)

    def show_scale(self, ends: tuple[float, float], unit: str, healthy: float | None) -> None:
        """Show a scale: its two `ends` and the 99th percentile of `healthy` values (None if unknown), in `unit`."""
        (low, high), self.unit, self.healthy = ends, unit, healthy
        self.low, self.high = low, high
        self.setVisible(bool(unit))
        known = "" if healthy is None else " 99 % of healthy values lie left of the mark."
        self.setToolTip(f"{low:.2f} to {high:.2f} {unit}, the same for every scan.{known}")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802, D102
        if not self.unit or self.high <= self.low:
            return
        painter = QPainter(self)
        self._draw(painter)
        painter.end()  # Qt crashes if Python keeps an active painter after the event

    def _draw(self, painter: QPainter) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(10)
        painter.setFont(font)
        metrics = QFontMetricsF(font)
        bar = QRectF(2, 3, self.width() - 4, 9)
        gradient, colours = QLinearGradient(bar.topLeft(), bar.topRight()), heat()
        for i in range(17):
            r, g, b, a = colours(i / 16)
            # Blend over dark grey, as the canvas blends the map over tissue.
            gradient.setColorAt(i / 16, QColor.fromRgbF(*(0.2 * (1 - a) + c * a for c in (r, g, b))))
        painter.fillRect(bar, gradient)
        ink = self.palette().text().color()
        painter.setPen(ink)
        base = bar.bottom() + metrics.ascent() + 5
        painter.drawText(QPointF(2, base), f"{self.low:.1f}" if self.low else "0")
        if self.healthy is not None:
            mark = bar.left() + bar.width() * min((self.healthy - self.low) / (self.high - self.low), 1.0)
            painter.drawLine(QPointF(mark, bar.top() - 2), QPointF(mark, bar.bottom() + 4))
            text = "99 % of healthy"
            start = min(max(mark - metrics.horizontalAdvance(text) / 2, 24), self.width() * 0.55)
            painter.drawText(QPointF(start, base), text)
        right = QRectF(2, base - metrics.ascent(), self.width() - 4, metrics.height())
        painter.drawText(right, Qt.AlignmentFlag.AlignRight, f"{self.high:.1f} {self.unit}")
