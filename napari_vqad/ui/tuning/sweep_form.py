"""The controls of the Sweep tab: the grid, the label, the measure and the buttons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_vqad.display.controls import control_of
from napari_vqad.tuning.sweep_axes import Axis, parse_values, title_of
from napari_vqad.ui.panels.combo import DataCombo
from napari_vqad.ui.plumbing.style import AMBER, SMALL

PLACES = ("Columns", "Rows", "Panels")
NONE = "–"


class AxisRow(QWidget):
    """The setting of one axis, and its values as text."""

    edited = Signal()
    picked = Signal()  # another setting

    def __init__(self, place: str) -> None:
        super().__init__()
        self.setting = DataCombo(f"The setting whose values are the {place.lower()} of the heat maps.")
        self.setting.box.setMinimumContentsLength(9)
        self.values = QLineEdit()
        self.values.setToolTip("The values, separated by blanks: numbers, or healthy percentiles such as p90.")
        self.values.setMinimumWidth(120)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        title = QLabel(place)
        title.setFixedWidth(54)
        row.addWidget(title)
        row.addWidget(self.setting.box)
        row.addWidget(self.values, 1)
        self.setting.box.currentIndexChanged.connect(lambda _index: self.picked.emit())
        self.values.textChanged.connect(lambda _text: self.edited.emit())

    def offer(self, names: Sequence[str], chosen: str | None) -> None:
        """Offer settings, and choose one, without a signal."""
        self.setting.box.blockSignals(True)
        self.setting.fill([(NONE, None), *((title_of(name), name) for name in names)])
        for index, name in enumerate(names, start=1):
            self.setting.box.setItemData(index, control_of(name).tip, Qt.ItemDataRole.ToolTipRole)
        self.setting.box.setCurrentIndex(0)
        if chosen is not None:
            self.setting.pick(chosen)
        self.setting.box.blockSignals(False)

    def show_values(self, text: str) -> None:
        """Show values, without a signal; an axis without a setting has none."""
        self.values.blockSignals(True)
        self.values.setText(text)
        self.values.setEnabled(self.setting.value is not None)
        self.values.blockSignals(False)

    def axis(self) -> Axis | None:
        """The axis; None without a setting. Raises `InputError` if a value is not allowed."""
        name = self.setting.value
        return None if name is None else Axis(name, parse_values(name, self.values.text()))


class SweepForm(QWidget):
    """All controls of the tab, from top to bottom."""

    grid_edited = Signal()
    picked = Signal(int)  # the axis with another setting
    label_picked = Signal()
    measure_picked = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.axes = [AxisRow(place) for place in PLACES]
        self.label = DataCombo(
            "A Labels layer with the true lesions of this scan. With it, each cell also gets AP, AUROC, best Dice and "
            "the share of lesions found."
        )
        self.measure = DataCombo("The measure that the heat maps show. All are kept; nothing is computed again.")
        self.start = QPushButton("Start")
        self.start.setToolTip("Analyse the scan with the settings of every cell that is not done. The picture stays.")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop. Finished cells are kept, and Start goes on from there.")
        self.cancel.setEnabled(False)
        self.keep = QCheckBox("Keep")
        self.keep.setToolTip(
            "Write finished cells into a folder, so that the sweep can go on after napari was closed. "
            "napari-vqad evaluate sweep --keep uses the same folder."
        )
        self.csv = QPushButton("CSV …")
        self.csv.setToolTip("Write all measures of the cells as a table.")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(6)
        self.status = QLabel("")
        self.status.setWordWrap(True)
        self.status.setStyleSheet(SMALL)
        self.warning = QLabel("")
        self.warning.setWordWrap(True)
        self.warning.setStyleSheet(SMALL + AMBER)
        self.warning.setVisible(False)
        self.folder: Path | None = None
        self._lay()
        for number, row in enumerate(self.axes):
            row.edited.connect(self.grid_edited)
            row.picked.connect(lambda number=number: self.picked.emit(number))
        self.label.box.currentIndexChanged.connect(lambda _index: self.label_picked.emit())
        self.measure.box.currentIndexChanged.connect(lambda _index: self.measure_picked.emit())
        self.keep.clicked.connect(self._ask_folder)

    def _lay(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for row in self.axes:
            column.addWidget(row)
        grid = QGridLayout()
        grid.setHorizontalSpacing(4)
        for place, (title, combo) in enumerate((("Label", self.label), ("Show", self.measure))):
            words = QLabel(title)
            words.setFixedWidth(54 if place == 0 else 36)
            grid.addWidget(words, 0, 2 * place)
            grid.addWidget(combo.box, 0, 2 * place + 1)
            grid.setColumnStretch(2 * place + 1, 1)
        column.addLayout(grid)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for widget in (self.start, self.cancel, self.keep, self.csv):
            buttons.addWidget(widget)
        column.addLayout(buttons)
        column.addWidget(self.progress)
        column.addWidget(self.status, 1)
        column.addWidget(self.warning)

    def grid(self) -> list[Axis]:
        """The axes that have a setting.

        Raises:
            InputError: a value is not allowed.
        """
        found = [row.axis() for row in self.axes]
        return [axis for axis in found if axis is not None]

    def texts(self) -> tuple[tuple[str | None, str], ...]:
        """The settings and values as they stand in the form."""
        return tuple((row.setting.value, row.values.text()) for row in self.axes)

    def show_busy(self, busy: bool) -> None:
        """Enable the buttons that make sense."""
        self.start.setEnabled(not busy)
        self.cancel.setEnabled(busy)
        self.keep.setEnabled(not busy)
        if not busy:
            self.progress.reset()

    def _ask_folder(self, on: bool) -> None:
        """Ask for the folder; without one, the box is unticked."""
        chosen = QFileDialog.getExistingDirectory(self, "Folder for finished cells") if on else ""
        self.folder = Path(chosen) if chosen else None
        self.keep.setChecked(self.folder is not None)
