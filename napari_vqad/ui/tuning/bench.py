"""The tuning bench below the canvas, in a dock that a button opens and closes: one tab for each question."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QTabWidget, QToolButton
from superqt.utils import qthrottled

from napari_vqad.export.reproduction import Reproduction
from napari_vqad.ui.plumbing.toggle_dock import ToggleDock
from napari_vqad.ui.session import Session
from napari_vqad.ui.tuning.copy_menu import CopyMenu
from napari_vqad.ui.tuning.histograms_tab import HistogramsTab
from napari_vqad.ui.tuning.lab_tab import LabTab
from napari_vqad.ui.tuning.labels_tab import LabelsTab
from napari_vqad.ui.tuning.sweep_tab import SweepTab
from napari_vqad.ui.tuning.tab import BenchTab

TABS: tuple[type[BenchTab], ...] = (
    LabelsTab,
    HistogramsTab,
    SweepTab,
    LabTab,
)
PAUSE = 100  # ms, the shortest time between two refreshes of a tab
TIP = (
    "Open the tuning bench: compare with labels, drag thresholds in histograms, sweep settings, and put an anomaly "
    "into the scan."
)


class BenchTabs(QTabWidget):
    """Tabs that signal when they become visible, because a hidden tab is not updated."""

    shown = Signal()

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802, D102
        super().showEvent(event)
        self.shown.emit()


class TuningBench(QObject):
    """Shows the tabs while its button is pressed, and updates the visible one when the session changes."""

    def __init__(self, session: Session, button: QToolButton) -> None:
        super().__init__(button)
        self.session, self.button = session, button
        self.tabs = BenchTabs()
        self.pages = {tab.title: tab(session) for tab in TABS}
        for title, page in self.pages.items():
            self.tabs.addTab(page, title)
        self.copying = CopyMenu(session, self._reproduction)
        self.tabs.setCornerWidget(self.copying)
        self.drawer = ToggleDock(session.connections, button, self.tabs, "Tuning bench")
        refresh_throttled = qthrottled(self.refresh, timeout=PAUSE, parent=self)
        for signal in (session.moved, session.settled, session.opened, session.drawn):
            signal.connect(lambda: refresh_throttled())
        session.emptied.connect(self._clear)
        self.tabs.currentChanged.connect(lambda _tab: self.refresh())
        self.tabs.shown.connect(self.refresh)

    def refresh(self) -> None:
        """Update the visible tab."""
        for page in self.pages.values():
            if page.isVisible():
                page.refresh()

    def _reproduction(self) -> Reproduction | None:
        page = self.tabs.currentWidget()
        return page.reproduction() if isinstance(page, BenchTab) else None

    def _clear(self) -> None:
        """Empty all tabs, even hidden ones, because the scan was closed."""
        for page in self.pages.values():
            page.clear()
