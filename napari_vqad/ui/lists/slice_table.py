"""The table of flagged slices, the highest score first. A click or Enter goes to a slice."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QLabel, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_vqad.display import slice_scores
from napari_vqad.display.flagged_slices import COLUMNS, Row, place_head, rows_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.findings.findings import Finding
from napari_vqad.ui.lists.key_filter import KeyFilter

PLACE = Qt.ItemDataRole.UserRole


class SliceTable(QWidget):
    """A table of the flagged slices."""

    gone_to = Signal(int)  # the slice that the user wants to see

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Row] = []
        self._focus = -1
        self.words = QLabel("")
        self.table = QTableWidget(0, len(COLUMNS))
        for at, (title, tip) in enumerate(COLUMNS.items()):
            self._set_header(at, title, tip)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.horizontalHeader().setStretchLastSection(True)
        for at, width in enumerate((50, 60, 90, 110, 140, 70)):
            self.table.setColumnWidth(at, width)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        KeyFilter(self.table)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.addWidget(self.words)
        column.addWidget(self.table, 1)
        self.table.cellClicked.connect(lambda row, _column: self.gone_to.emit(self._slice_of_row(row)))
        self.table.cellActivated.connect(lambda row, _column: self.gone_to.emit(self._slice_of_row(row)))

    def show_slices(self, explorer: Explorer | None, found: list[Finding]) -> None:
        """List the flagged slices. When the slice in view changes, its row is selected.

        `found` are the findings that are up to date; empty if they are from earlier settings.
        """
        if explorer is None:
            self._rows, self._focus = [], -1
            self._fill_table([])
            self.words.setText("")
            return
        rows, grid = rows_of(explorer, found), explorer.grid
        if rows != self._rows:
            self._fill_table(rows)
        if explorer.focus != self._focus:
            self._select_row(explorer.focus)
        self._rows, self._focus = rows, explorer.focus
        self._set_header(2, *place_head(grid))
        self.table.setColumnHidden(1, grid.kind == "clip")  # the position of a frame is its number
        kind = "slices" if grid.kind == "head" else "frames"
        words = f"{len(rows)} of {explorer.n_slices} {kind} flagged: "
        words += f"their score is above {slice_scores.value(explorer, explorer.thresholds()['flag_slices'])}."
        if not rows:
            words = f"No {kind[:-1]} is flagged; lower the threshold for {kind}."
        self.words.setText(words)

    def _fill_table(self, rows: list[Row]) -> None:
        chosen = self._slice_of_row(self.table.currentRow()) if self.table.currentRow() >= 0 else None
        scrolled = self.table.verticalScrollBar().value()
        self.table.setSortingEnabled(False)  # else setting a cell would move its row
        self.table.setRowCount(len(rows))
        for at_row, (place, *cells) in enumerate(rows):
            for at, value in enumerate(cells):
                item = QTableWidgetItem()
                item.setData(Qt.ItemDataRole.DisplayRole, value)  # numbers are stored as such, and sorted by value
                item.setData(PLACE, place)
                if not isinstance(value, str):
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(at_row, at, item)
        self.table.setSortingEnabled(True)
        self._select_row(chosen)
        self.table.verticalScrollBar().setValue(scrolled)

    def _select_row(self, index: int | None) -> None:
        """Select the row of a slice, if it is listed."""
        self.table.clearSelection()
        for row in range(self.table.rowCount()):
            if self._slice_of_row(row) == index:
                self.table.selectRow(row)

    def _set_header(self, at: int, title: str, tip: str) -> None:
        item = QTableWidgetItem(title)
        item.setToolTip(tip)
        self.table.setHorizontalHeaderItem(at, item)

    def _slice_of_row(self, row: int) -> int:
        return self.table.model().index(row, 0).data(PLACE)
