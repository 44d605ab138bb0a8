"""The tab Histograms: the values that each threshold is compared with, and the thresholds as lines to drag."""

from __future__ import annotations

from typing import ClassVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_vqad.display.histograms import Histogram, Line, histograms
from napari_vqad.ui.panels.histogram_plot import HistogramPlot
from napari_vqad.ui.plumbing.style import SMALL
from napari_vqad.ui.session import Session
from napari_vqad.ui.tuning.tab import BenchTab

LOW = 66  # px, the least height of a plot: the bench is low
NOTHING = "Histograms appear here after a scan is analysed."


class HistogramsTab(BenchTab):
    """One column for each histogram: the plot, and what each threshold means in words.

    Attributes:
        columns: the columns that exist; those in use are visible.
    """

    title: ClassVar[str] = "Histograms"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.columns: list[_Column] = []
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(8, 4, 8, 4)
        self._row.setSpacing(16)
        self.empty = QLabel(NOTHING)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._row.addWidget(self.empty)

    def refresh(self) -> None:
        """Show the present values and thresholds."""
        explorer = self.session.explorer
        self._show([] if explorer is None else histograms(explorer))

    def clear(self) -> None:
        """Show no histogram."""
        self._show([])

    def _show(self, found: list[Histogram]) -> None:
        while len(self.columns) < len(found):
            column = _Column()
            column.plot.moved.connect(self._on_moved)
            self.columns.append(column)
            self._row.addWidget(column, 1)
        for i, column in enumerate(self.columns):
            column.setVisible(i < len(found))
            column.show_histogram(found[i] if i < len(found) else None)
        self.empty.setVisible(not found)

    def _on_moved(self, setting: str, value: float) -> None:
        self.session.change(**{setting: value})


class _Column(QWidget):
    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        self.plot, self.words = HistogramPlot(), QLabel("")
        self.words.setWordWrap(True)
        self.words.setStyleSheet(SMALL)
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        for widget in (self.plot, self.words):
            layout.addWidget(widget, int(widget is self.plot))
        self.plot.setMinimumHeight(LOW)
        self.plot.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def show_histogram(self, found: Histogram | None) -> None:
        self.plot.show_histogram(found)
        lines = found.lines if found else ()
        # A label that wraps asks for one line only, and the bench is as low as its widgets allow.
        self.words.setMinimumHeight(2 * len(lines) * self.words.fontMetrics().lineSpacing())
        self.words.setText("<br>".join(_sentence(line, found.unit) for line in lines) if found else "")


def _sentence(line: Line, unit: str) -> str:
    state = "" if line.active else " It has no effect with the present settings."
    return f"<b>{line.title}</b> {line.value:.2f} {unit}: {line.words}{state}"
