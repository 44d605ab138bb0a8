"""The table of findings, the highest score sum first. A click or Enter goes to one, keys accept and reject it."""

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

from napari_vqad.display.finding_columns import MANY, Column, columns_of
from napari_vqad.findings.findings import Finding
from napari_vqad.findings.review import Review
from napari_vqad.ui.lists.key_filter import KeyFilter
from napari_vqad.ui.plumbing.shortcuts import ACCEPT, NEXT_FINDING, PREVIOUS_FINDING, REJECT, UNDO
from napari_vqad.ui.plumbing.style import BUTTONS

FAINT = QColor("#85858c")  # rejected findings; accepted ones are bold, as orange is hard to see on a bright theme
Index = QModelIndex | QPersistentModelIndex

READER: tuple[Column, ...] = (
    (
        "Verdict",
        lambda f, w: w.verdict,
        "{}",
        f"Your verdict: {ACCEPT} accepts, {REJECT} rejects; press the same key again to undo.",
    ),
    ("Note", lambda f, w: w.note, "{}", "Your note; double-click to edit."),
)
# Text columns that are sorted by a number.
SORTS: dict[str, Callable[[Finding], float]] = {
    "Centre": lambda f: f.centre[2],
    "Slices": lambda f: f.numbers[0],
    "Extent": lambda f: f.reach[0],
}
SORTED_BY = Qt.ItemDataRole.UserRole


class FindingsModel(QAbstractTableModel):
    """A table model of a review. Only visible cells are computed, so thousands of findings are fast, too."""

    def __init__(self, review: Review, parent: QObject) -> None:
        super().__init__(parent)
        self.review = review
        self.known: list[Finding] = []
        self.columns = (*columns_of([]), *READER)

    @property
    def note(self) -> int:
        """The index of the column of notes, the last one."""
        return len(self.columns) - 1

    def refresh(self) -> None:
        """Show the current review. If the findings are the same, rows and selection are kept."""
        if self.review.found is not self.known:
            self.beginResetModel()
            self.known = self.review.found
            self.columns = (*columns_of(self.known), *READER)
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
            # Grey if rejected; all are grey while the list is out of date, which the review's note says.
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
    """The table of findings with its buttons."""

    gone_to = Signal(object)  # the finding that the user wants to see

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
            (f"Accept ({ACCEPT})", "Mark as a true finding; click again to undo.", accept),
            (f"Reject ({REJECT})", "Mark as a false finding; click again to undo.", reject),
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
        """The finding whose row is selected."""
        return self.chosen_of(self.review.found)

    def chosen_of(self, found: list[Finding]) -> Finding | None:
        """The finding, among those given, whose row is selected."""
        index = self.view.currentIndex()
        return found[self.order.mapToSource(index).row()] if index.isValid() else None

    def choose(self, finding: Finding) -> None:
        """Select the row of a finding."""
        row = self.review.found.index(finding)
        self.view.setCurrentIndex(self.order.mapFromSource(self.table.index(row, 0)))

    def step(self, by: int) -> None:
        """Select the next (1) or previous (−1) row in the order shown and go to it; wrap around at the ends."""
        rows = self.order.rowCount()
        if rows:
            now = self.view.currentIndex()
            row = (now.row() + by) % rows if now.isValid() else (0 if by > 0 else rows - 1)
            self.view.setCurrentIndex(self.order.index(row, 0))
            self._go(now)

    def judge(self, verdict: str) -> None:
        """Accept or reject the selected finding."""
        finding = self.chosen()
        if finding is not None:
            self.review.set_verdict(finding, "accepted" if verdict == "accepted" else "rejected")

    def refresh(self) -> None:
        """Update the table."""
        chosen = self.chosen_of(self.table.known)
        self.table.refresh()
        again = next((f for f in self.review.found if chosen is not None and f.top == chosen.top), None)
        if again is not None and again is not chosen:
            self.choose(again)
        title = self.view.horizontalHeader().sectionSizeHint
        for column in range(self.table.note):  # widen for bold text and long units; never narrow a column
            wide = max(self.view.sizeHintForColumn(column), title(column), self.view.columnWidth(column))
            self.view.setColumnWidth(column, wide)
        n = len(self.review.found)
        if self.review.note:
            self.words.setText(self.review.note)
        elif not n:
            self.words.setText("Nothing is flagged.")
        elif n > MANY:
            self.words.setText(f"{n} findings: the threshold for voxels may be too low.")
        else:
            self.words.setText(
                f"{n} finding{'s' if n > 1 else ''}, {sum(f.ml for f in self.review.found):.1f} mL in all"
            )

    def _go(self, _index: Index) -> None:
        finding = self.chosen()
        if finding is not None:
            self.gone_to.emit(finding)
