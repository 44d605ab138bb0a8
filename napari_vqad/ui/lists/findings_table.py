"""The table of findings, the weightiest first; a click or Enter goes there, keys accept and reject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QFont
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTableView,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_vqad.findings.findings import Finding
from napari_vqad.findings.review import Annotation, Review
from napari_vqad.ui.lists.key_filter import KeyFilter
from napari_vqad.ui.plumbing.shortcuts import ACCEPT, NEXT_FINDING, PREVIOUS_FINDING, REJECT, UNDO
from napari_vqad.ui.plumbing.style import BUTTONS

MANY = 100  # findings, from which the threshold is too low to be of use
FAINT = QColor("#85858c")  # what is rejected; what is accepted is bold: orange is weak on a bright theme
Index = QModelIndex | QPersistentModelIndex

# Title, the value that it shows of a finding, its format, its tooltip.
Column = tuple[str, Callable[[Finding, Annotation], Any], str, str]
PLACE: tuple[Column, ...] = (
    ("No.", lambda f, w: f.number, "{}", "Findings are numbered by the sum of their scores, the highest first."),
    ("Side", lambda f, w: f.side, "{}", "The patient's side."),
    (
        "Centre",
        lambda f, w: f.where,
        "{}",
        "Its centre: mm to the right (R) or left (L) of the midline; A, P, S and I are scanner coordinates. Hold the "
        "mouse over a centre for all three in scanner coordinates. Sorted from foot to head.",
    ),
    (
        "Slices",
        lambda f, w: f"{f.numbers[0]}–{f.numbers[1]}",
        "{}",
        "Its first and last slice, numbered as on the viewer's slider.",
    ),
    ("Reach", lambda f, w: f.extent, "{}", "Its lowest and highest position, scanner mm. Sorted from the lowest."),
    ("mL", lambda f, w: f.ml, "{:.2f}", "Volume."),
)
READER: tuple[Column, ...] = (
    (
        "Verdict",
        lambda f, w: w.verdict,
        "{}",
        f"Your verdict: {ACCEPT} accepts, {REJECT} rejects; press the same key again to undo.",
    ),
    ("Note", lambda f, w: w.note, "{}", "Your note; double-click to edit."),
)
# Columns of words that are sorted by a number of theirs.
SORTS: dict[str, Callable[[Finding], float]] = {
    "Centre": lambda f: f.centre[2],
    "Slices": lambda f: f.numbers[0],
    "Reach": lambda f: f.reach[0],
}
SORTED_BY = Qt.ItemDataRole.UserRole


def columns_of(found: list[Finding]) -> tuple[Column, ...]:
    """The columns of some findings of one scan: place, scores in the units of the model, and what the reader said."""
    unit, evidence = (found[0].unit, found[0].evidence) if found else ("SD", ())
    scores: list[Column] = [
        (
            f"Peak ({unit})",
            lambda f, w: f.peak,
            "{:.1f}",
            "Highest pixel score, in the unit of the view Score.",
        ),
        (f"Mean ({unit})", lambda f, w: f.mean, "{:.1f}", "Mean pixel score, in the unit of the view Score."),
    ]
    for i, spec in enumerate(evidence):
        title, tip = f"{spec.title} peak ({spec.unit})", f"Highest {spec.title} within it, as the map shows it."
        scores.append((title, lambda f, w, i=i: f.evidence[i].peak, "{:.1f}", tip))  # type: ignore[misc]
    return (*PLACE, *scores, *READER)


class FindingsModel(QAbstractTableModel):
    """A review as rows; what is not seen is not made, so that thousands of findings are as quick as ten."""

    def __init__(self, review: Review, parent: QObject) -> None:
        super().__init__(parent)
        self.review = review
        self.known: list[Finding] = []
        self.columns = columns_of([])

    @property
    def note(self) -> int:
        """The column of the reader's notes, the last one."""
        return len(self.columns) - 1

    def refresh(self) -> None:
        """Show the review as it is; the same findings keep their rows, and the choice among them."""
        if self.review.found is not self.known:
            self.beginResetModel()
            self.known = self.review.found
            self.columns = columns_of(self.known)
            self.endResetModel()
        elif self.known:
            self.dataChanged.emit(self.index(0, 0), self.index(len(self.known) - 1, self.note))

    def rowCount(self, parent: Index | None = None) -> int:  # noqa: N802, D102
        return 0 if parent is not None and parent.isValid() else len(self.known)

    def columnCount(self, parent: Index | None = None) -> int:  # noqa: N802, D102
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: D102
        finding = self.known[index.row()]
        word = self.review.annotation(finding)
        title, value, form, _ = self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return form.format(value(finding, word))
        if role == SORTED_BY and title in SORTS:
            return SORTS[title](finding)
        if role == Qt.ItemDataRole.ToolTipRole and title == "Centre":
            return f"Scanner coordinates: {finding.scanner}"
        if role in (SORTED_BY, Qt.ItemDataRole.EditRole):
            return value(finding, word)
        if role == Qt.ItemDataRole.ForegroundRole:
            # Rejected; or all of them, while they are of the settings before.
            return FAINT if word.verdict == "rejected" or self.review.note else None
        if role == Qt.ItemDataRole.FontRole and word.verdict == "accepted":
            bold = QFont()
            bold.setBold(True)
            return bold
        if role == Qt.ItemDataRole.TextAlignmentRole and not isinstance(value(finding, word), str):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:  # noqa: N802, D102
        if index.column() != self.note or role != Qt.ItemDataRole.EditRole:
            return False
        self.review.set_note(self.known[index.row()], str(value).strip())
        return True

    def flags(self, index: Index) -> Qt.ItemFlag:  # noqa: D102
        known = super().flags(index)
        return known | Qt.ItemFlag.ItemIsEditable if index.column() == self.note else known

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:  # noqa: N802, D102
        if orientation != Qt.Orientation.Horizontal:
            return None
        title, _, _, tip = self.columns[section]
        return {Qt.ItemDataRole.DisplayRole: title, Qt.ItemDataRole.ToolTipRole: tip}.get(Qt.ItemDataRole(role))


class FindingsTable(QWidget):
    """The table with its buttons."""

    gone_to = Signal(object)  # the finding that the person wants to see

    def __init__(self, review: Review) -> None:
        super().__init__()
        self.setStyleSheet(BUTTONS)
        self.review = review
        self.table = FindingsModel(review, self)
        self.order = QSortFilterProxyModel(self)
        self.order.setSourceModel(self.table)
        self.order.setSortRole(SORTED_BY)
        self.view = QTableView()
        self.view.setModel(self.order)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(22)
        header = self.view.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(True)
        for place, width in enumerate((44, 70, 140, 70, 124, 56, 72, 76, 112, 80)):
            self.view.setColumnWidth(place, width)
        header.setResizeContentsPrecision(MANY)
        self.words = QLabel("")
        self.words.setWordWrap(True)
        accept, reject = (lambda: self.judge("accepted")), (lambda: self.judge("rejected"))
        row = QHBoxLayout()
        row.addWidget(self.words, 1)
        for text, tip, act in (
            (f"Accept ({ACCEPT})", "Mark as a finding; click again to undo.", accept),
            (f"Reject ({REJECT})", "Mark as not a finding; click again to undo.", reject),
            (f"Undo ({UNDO})", "Undo the last verdict or note.", review.undo),
        ):
            button = QToolButton()
            button.setText(text)
            button.setToolTip(tip)
            button.clicked.connect(act)
            row.addWidget(button)
        judging = {ACCEPT: accept, REJECT: reject, UNDO: review.undo}
        KeyFilter(self.view, judging | {NEXT_FINDING: lambda: self.step(1), PREVIOUS_FINDING: lambda: self.step(-1)})
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.addLayout(row)
        column.addWidget(self.view, 1)
        self.view.activated.connect(self._go)
        self.view.clicked.connect(self._go)
        review.changed.connect(self.refresh)
        self.refresh()

    def chosen(self) -> Finding | None:
        """The finding whose row is chosen."""
        return self.chosen_of(self.review.found)

    def chosen_of(self, found: list[Finding]) -> Finding | None:
        """The one of these findings whose row is chosen."""
        index = self.view.currentIndex()
        return found[self.order.mapToSource(index).row()] if index.isValid() else None

    def choose(self, finding: Finding) -> None:
        """Choose its row."""
        row = self.review.found.index(finding)
        self.view.setCurrentIndex(self.order.mapFromSource(self.table.index(row, 0)))

    def step(self, by: int) -> None:
        """Choose the next (1) or previous (−1) row in the order shown, round the end, and go there."""
        rows = self.order.rowCount()
        if rows:
            now = self.view.currentIndex()
            row = (now.row() + by) % rows if now.isValid() else (0 if by > 0 else rows - 1)
            self.view.setCurrentIndex(self.order.index(row, 0))
            self._go(now)

    def judge(self, verdict: str) -> None:
        """Accept or reject the chosen finding."""
        finding = self.chosen()
        if finding is not None:
            self.review.set_verdict(finding, "accepted" if verdict == "accepted" else "rejected")

    def refresh(self) -> None:
        """Bring the table up to date."""
        chosen = self.chosen_of(self.table.known)
        self.table.refresh()
        again = next((f for f in self.review.found if chosen is not None and f.top == chosen.top), None)
        if again is not None and again is not chosen:
            self.choose(again)
        for column in range(self.table.note):  # bold words are wider; none is cut, and what the user made wide stays so
            wide = max(self.view.sizeHintForColumn(column), self.view.columnWidth(column))
            self.view.setColumnWidth(column, wide)
        n = len(self.review.found)
        if self.review.note:
            self.words.setText(self.review.note)
        elif not n:
            self.words.setText("Nothing is flagged.")
        elif n > MANY:
            self.words.setText(f"{n} findings: the threshold for voxels is low.")
        else:
            self.words.setText(
                f"{n} finding{'s' if n > 1 else ''}, {sum(f.ml for f in self.review.found):.1f} mL in all"
            )

    def _go(self, _index: Index) -> None:
        finding = self.chosen()
        if finding is not None:
            self.gone_to.emit(finding)
