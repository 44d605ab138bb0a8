"""The tab Labels: figures of the present scores against labels, updated while sliders move."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout
from superqt.utils import qthrottled

from napari_vqad.display.scales import score_unit
from napari_vqad.display.thresholds import rate_in_words
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export.tables import cell
from napari_vqad.tuning.figure_plots import plots
from napari_vqad.tuning.figure_words import as_text, chosen_on, rows
from napari_vqad.tuning.figures import Figures, trouble
from napari_vqad.tuning.labelled_scan import LabelledScan, ScanCounts
from napari_vqad.tuning.pool import flagged_with, scored_with
from napari_vqad.ui.panels.display_bar import make_button
from napari_vqad.ui.plumbing.style import BUTTONS, SMALL
from napari_vqad.ui.plumbing.worker import WorkerSlot
from napari_vqad.ui.session import Session
from napari_vqad.ui.tuning.copy_menu import copy_text
from napari_vqad.ui.tuning.curve_plot import CurvePlot
from napari_vqad.ui.tuning.figure_table import FigureTable
from napari_vqad.ui.tuning.pool_bar import PoolBar
from napari_vqad.ui.tuning.tab import BenchTab
from napari_vqad.ui.tuning.truth_box import TruthBox

PAUSE = 100  # ms, the shortest time between two changes of the threshold or two readings of the labels
BREAK = "\u200b"  # where a long path may be broken into lines
WAITING = "Figures appear when all slices are scored."
STALE = "These figures are from earlier settings; new ones appear when all slices are scored."
CHOOSE = "Choose a Labels layer, or a folder of label files, to compare the scores with."
CLICK = "Click a point, or drag along the curve, to set the threshold of voxels (of slices, for a model of slices)."


class LabelsTab(BenchTab):
    """Compares pixel scores, slice scores and findings with labels.

    A worker counts, so that the window never waits; if settings change meanwhile, it counts once more.
    """

    title = "Labels"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.truth, self.pools, self.table = TruthBox(session), PoolBar(), FigureTable()
        self.roc = CurvePlot(
            f"ROC: how many labelled voxels are flagged, and how many others, at each threshold. {CLICK}"
        )
        self.pr = CurvePlot(f"Precision against recall at each threshold; the dotted line is chance. {CLICK}")
        self.words = QLabel(CHOOSE)
        self.copy = make_button("Copy numbers", "Copy all figures, with scan, model and settings, for a spreadsheet.")
        self.counts: ScanCounts | None = None
        self._counted_with: tuple[Explorer, object] | None = None  # the explorer and the labels of `counts`
        self._problem = ""
        self._scan: LabelledScan | None = None
        self._again = False
        self._slot = WorkerSlot(self._say)
        session.connections.on_close(self._slot.detach)
        self._lay_out()
        set_throttled = qthrottled(self._set_threshold, timeout=PAUSE, parent=self)
        refresh_throttled = qthrottled(self._refresh_if_shown, timeout=PAUSE, parent=self)
        for plot in (self.roc, self.pr):
            plot.chosen.connect(lambda value: set_throttled(value))
        self.table.wanted.connect(self._set_threshold)
        self.truth.chosen.connect(self._refresh_if_shown)
        self.truth.edited.connect(lambda: refresh_throttled())
        self.pools.changed.connect(self._draw)
        self.pools.wanted.connect(self._add_to_pool)
        self.copy.clicked.connect(self._copy)
        layers = session.viewer.layers
        for event in (layers.events.inserted, layers.events.removed):
            session.connections.connect(event, lambda: refresh_throttled())
        self._draw()

    def _lay_out(self) -> None:
        self.setStyleSheet(f"QLabel {{ {SMALL} }} {BUTTONS}")
        self.words.setWordWrap(True)
        self.words.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # long names widen nothing
        self.words.setAlignment(Qt.AlignmentFlag.AlignTop)
        left = QVBoxLayout()
        left.setSpacing(4)
        self.pools.row.addWidget(self.copy)
        for widget in (self.truth, self.pools):
            left.addWidget(widget)
        left.addWidget(self.words, 1)
        row = QHBoxLayout(self)
        row.setContentsMargins(6, 4, 6, 4)
        row.setSpacing(10)
        row.addLayout(left, 4)
        row.addWidget(self.table, 0)
        row.addWidget(self.roc, 3)
        row.addWidget(self.pr, 3)

    # ---- of the bench -----------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Count again if something has changed."""
        self.truth.list_layers()
        explorer, choice = self.session.explorer, self.truth.value
        prepared = self.session.prepared
        if explorer is None or prepared is None:
            return
        if self._counted_with is not None and self._counted_with != (explorer, choice):
            self.counts, self._counted_with = None, None
        if choice is None or choice == "ask":
            self._problem = ""
            self._draw()
        elif not explorer.complete:
            self._draw()
        elif self._slot.running:
            self._again = True
        else:
            self._again = False
            self._slot.start(self._count(explorer, prepared.mask, choice), self._on_counted, self._on_end)

    def clear(self) -> None:
        """Forget the scan. The pool stays."""
        self._slot.detach()
        self.counts, self._counted_with, self._scan, self._problem, self._again = None, None, None, "", False
        self.truth.forget()
        self._draw()

    # ---- counting ---------------------------------------------------------------------------------------------------

    def _count(self, explorer: Explorer, mask: np.ndarray, choice: Labels | Path) -> Iterator:
        """Count in the worker; yields the explorer, the labels and the counts, or a sentence instead of these."""
        try:
            truth = self.truth.read(choice, explorer.scan)
            if self._scan is None or not self._scan.fits(explorer, truth, mask):
                self._scan = LabelledScan(explorer, truth, mask)
            yield explorer, choice, self._scan.measure(explorer)
        except InputError as error:
            yield explorer, choice, str(error)

    def _on_counted(self, found: tuple[Explorer, object, ScanCounts | str]) -> None:
        explorer, choice, counts = found
        if (explorer, choice) != (self.session.explorer, self.truth.value):
            self._again = True
            return
        self._problem = counts if isinstance(counts, str) else ""
        self.counts = None if isinstance(counts, str) else counts
        self._counted_with = explorer, choice
        self._draw()

    def _on_end(self, _aborted: bool, _failed: bool) -> None:
        if self._again:
            self._refresh_if_shown()

    def _refresh_if_shown(self) -> None:
        if self.isVisible():
            self.refresh()

    # ---- display ----------------------------------------------------------------------------------------------------

    def figures(self) -> Figures | None:
        """The figures that are shown: of this scan or of the pool; None if there are none."""
        if self.pools.shows_pool:
            return self.pools.pool.figures()
        return None if self.counts is None else Figures.of([self.counts])

    def _draw(self) -> None:
        """Show figures, curves and sentences."""
        explorer, figures, pooled = self.session.explorer, self.figures(), self.pools.shows_pool
        self.pools.add.setEnabled(self.counts is not None and explorer is not None and explorer.complete)
        self.copy.setEnabled(figures is not None)
        advice = "" if figures is None else chosen_on(figures.scans, shown=not pooled)
        self._say("\n".join(filter(None, (self._sentence(figures), advice))))
        if figures is None:
            self.table.show_rows(())
            self.roc.show_plot(None)
            self.pr.show_plot(None)
            return
        thresholds = self._thresholds(explorer)
        self.table.show_rows(self._rows(figures), offer=thresholds is not None)
        for plot, shown in zip((self.roc, self.pr), plots(figures, thresholds) or (None, None), strict=True):
            plot.show_plot(shown)

    def _rows(self, figures: Figures) -> list:
        explorer, pooled = self.session.explorer, self.pools.shows_pool
        unit = "" if explorer is None else score_unit(explorer)
        flagged: object = self.session.settings.flag_voxels
        if pooled:
            flagged = next(iter(self.pools.pool.scans.values())).flagged["flag_voxels"]
        words = rate_in_words(flagged) if isinstance(flagged, str) else f"{flagged:.2f}"
        return rows(figures, unit, words, self._thresholds(explorer))

    def _thresholds(self, explorer: Explorer | None) -> tuple[float, float] | None:
        """The present thresholds of voxels and slices; None if the figures are of other scores."""
        if explorer is None or (self.pools.shows_pool and self.pools.pool.outdated(explorer)):
            return None
        limits = explorer.thresholds()
        return limits.get("flag_voxels", np.nan), limits["flag_slices"]

    def _sentence(self, figures: Figures | None) -> str:
        explorer, pool = self.session.explorer, self.pools.pool
        if self.pools.shows_pool:
            outdated = pool.outdated(explorer)
            follows = (
                f"The pool was scored with another {outdated}; it does not follow the sliders." if outdated else ""
            )
            return " ".join(filter(None, (f"In the pool: {', '.join(pool.scans)}.", trouble(pool.counts), follows)))
        if explorer is None:
            return "Analyse a scan to compare it with labels."
        if self._problem:
            return self._problem
        if not isinstance(self.truth.value, Labels | Path):
            return CHOOSE
        if figures is None or self.counts is None:
            return WAITING
        note = "" if self._scan is None else self._scan.truth.note
        stale = "" if explorer.complete else STALE
        return " ".join(filter(None, (stale, trouble([self.counts]), note)))

    # ---- actions of the user ----------------------------------------------------------------------------------------

    def _set_threshold(self, value: float) -> None:
        figures = self.figures()
        if figures is None or not np.isfinite(value):
            return
        if value < 0:
            self._say("A threshold is at least 0; the chosen point has a lower one.")
            return
        self.session.change(**{"flag_slices" if figures.voxels is None else "flag_voxels": value})

    def _add_to_pool(self) -> None:
        explorer, scan = self.session.explorer, self.session.scan
        if explorer is None or scan is None or self.counts is None:
            return
        try:
            self.pools.pool.add(scan.name, self.counts, explorer)
        except InputError as error:
            self._say(str(error))
            return
        self.pools.refresh()
        self._draw()

    def _copy(self) -> None:
        if (figures := self.figures()) is not None:
            copy_text(self.session, as_text(self._rows(figures), self._about(self.session.explorer)))

    def _about(self, explorer: Explorer | None) -> list[tuple[str, str]]:
        """Scan, labels, model and settings of the figures that are shown."""
        if self.pools.shows_pool:
            pool = self.pools.pool
            first = next(iter(pool.scans.values()))
            about, settings = [("scans", ", ".join(pool.scans))], {**first.scored, **first.flagged}
        elif explorer is None or self._scan is None:
            return []
        else:
            name = "" if self.session.scan is None else self.session.scan.name
            about = [("scan", name), ("labels", self._scan.truth.source)]
            settings = scored_with(explorer) | flagged_with(explorer)
        lines = [*about, *((name, str(value)) for name, value in settings.items())]
        return [(name, str(cell(value))) for name, value in lines]

    def _say(self, text: str) -> None:
        self.words.setText(text.replace("/", f"/{BREAK}"))
        self.words.setToolTip(text)
