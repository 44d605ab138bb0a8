"""A plot of the pixel scores of a scan in front of those of healthy scans, with the threshold of voxels."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget
from superqt import QCollapsible

from napari_vqad.display.score_histogram import ScoreHistogram, score_histogram
from napari_vqad.session import ExplorerSession

SCAN, HEALTHY, THRESHOLD = QColor(89, 191, 255, 190), QColor(125, 138, 153, 150), QColor("#ff9f1c")


class HistogramPlot(QWidget):
    """Two histograms, the healthy one behind, and the threshold as a line; heights are roots of shares."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: ScoreHistogram | None = None
        self.setToolTip(
            "Pixel scores of this scan (blue) in front of those of healthy voxels (grey), and the threshold of voxels. "
            "Heights are square roots of the share of voxels, so that the few high scores are visible."
        )
        self.setMinimumHeight(84)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802, D102
        return QSize(300, 88)

    def show_histogram(self, found: ScoreHistogram | None) -> None:
        """Show a histogram, or nothing."""
        self.shown = found
        self.update()

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
        if (h := self.shown) is None:
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "pixel scores appear here")
            return
        plot = QRectF(6, 4, self.width() - 12, self.height() - 22)
        step, top = plot.width() / len(h.scan), np.sqrt(max(h.scan.max(), h.healthy.max()))
        for shares, colour in ((h.healthy, HEALTHY), (h.scan, SCAN)):
            heights = plot.height() * np.sqrt(np.maximum(shares, 0)) / top
            for i, height in enumerate(heights):
                painter.fillRect(
                    QRectF(plot.left() + i * step, plot.bottom() - height, max(step - 0.6, 0.6), height), colour
                )
        low, high = float(h.edges[0]), float(h.edges[-1])
        x = plot.left() + plot.width() * (h.threshold - low) / (high - low)
        painter.setPen(QPen(THRESHOLD, 1.4, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
        metrics = QFontMetricsF(painter.font())
        base = plot.bottom() + metrics.ascent() + 3
        painter.setPen(ink)
        left, right = f"{low:.1f}", f"{high:.1f} {h.unit}"
        painter.drawText(QPointF(plot.left(), base), left.replace("-", "−"))
        painter.drawText(QPointF(plot.right() - metrics.horizontalAdvance(right), base), right)
        words = "this scan · healthy"
        middle = plot.center().x() - metrics.horizontalAdvance(words) / 2
        dark = ink.lightness() > 128  # the theme
        painter.setPen(QColor("#59bfff" if dark else "#0a6fb3"))
        painter.drawText(QPointF(middle, base), "this scan")
        painter.setPen(QColor("#a9b4c2" if dark else "#5a6470"))
        painter.drawText(QPointF(middle + metrics.horizontalAdvance("this scan"), base), " · healthy")


class HistogramSection(QCollapsible):
    """The histogram of a session's pixel scores, in a section that opens and closes; drawn only while open."""

    def __init__(self, session: ExplorerSession) -> None:
        super().__init__("Histogram of scores")
        self._session = session
        self.plot = HistogramPlot()
        if (layout := self.layout()) is not None:
            layout.setContentsMargins(0, 0, 0, 0)
        self.setDuration(0)
        self.addWidget(self.plot)
        for signal in (session.opened, session.drawn, session.settled, session.emptied):
            signal.connect(self.refresh)
        self.toggled.connect(self.refresh)

    def refresh(self) -> None:
        """Show the present scores."""
        explorer = self._session.explorer
        if self.isExpanded():
            self.plot.show_histogram(None if explorer is None else score_histogram(explorer))
