"""The histogram of pixel scores in the dock, in a section that opens and closes."""

from __future__ import annotations

from superqt import QCollapsible

from napari_vqad.display.histograms import score_histogram
from napari_vqad.session import ExplorerSession
from napari_vqad.ui.panels.histogram_plot import HistogramPlot


class HistogramSection(QCollapsible):
    """The histogram of a session's pixel scores; drawn only while open. Its line moves the threshold of voxels."""

    def __init__(self, session: ExplorerSession) -> None:
        super().__init__("Histogram of scores")
        self._session = session
        self.plot = HistogramPlot()
        if (layout := self.layout()) is not None:
            layout.setContentsMargins(0, 0, 0, 0)
        self.setDuration(0)
        self.addWidget(self.plot)
        self.plot.moved.connect(lambda name, value: session.change(**{name: value}))
        for signal in (session.opened, session.drawn, session.settled, session.emptied):
            signal.connect(self.refresh)
        self.toggled.connect(self.refresh)

    def refresh(self) -> None:
        """Show the present scores."""
        explorer = self._session.explorer
        if self.isExpanded():
            self.plot.show_histogram(None if explorer is None else score_histogram(explorer))
