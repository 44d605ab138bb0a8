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
    QSizePolicy,
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
        self.setting.box.setMaximumWidth(122)
        self.values = QLineEdit()
        self.values.setToolTip("The values, separated by blanks: numbers, or healthy percentiles such as p90.")
        self.values.setMinimumWidth(90)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        title = QLabel(place)
        title.setFixedWidth(64)
        row.addWidget(title)
        row.addWidget(self.setting.box)
        row.addWidget(self.values, 1)
        self._offering = False
        self.setting.box.currentIndexChanged.connect(self._on_index)
        self.values.textChanged.connect(lambda _text: self.edited.emit())

    def offer(self, names: Sequence[str], chosen: str | None) -> None:
        """Offer settings, and choose one, without a signal."""
        self._offering = True
        self.setting.fill([(NONE, None), *((title_of(name), name) for name in names)])
        for index, name in enumerate(names, start=1):
            self.setting.box.setItemData(index, control_of(name).tip, Qt.ItemDataRole.ToolTipRole)
        self.setting.box.setCurrentIndex(0)
        if chosen is not None:
            self.setting.pick(chosen)
        self._offering = False

    def _on_index(self, _index: int) -> None:
        if not self._offering:
            self.picked.emit()

    def show_values(self, text: str) -> None:
        """Show values, without a signal; an axis without a setting has none."""
        self.values.blockSignals(True)
        self.values.setText(text)
        self.values.setCursorPosition(0)
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
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        # Long words must not make the window taller.
        self.status.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)
        self.status.setMinimumHeight(14)
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
        """Lay out three rows and the words below them: the bench is wide and low."""
        self.label.box.setMinimumContentsLength(10)
        self.measure.box.setMinimumContentsLength(10)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(0, 5)
        grid.setColumnStretch(1, 4)
        for place, row in enumerate(self.axes):
            grid.addWidget(row, place, 0)
        for place, (title, combo) in enumerate((("Label", self.label), ("Show", self.measure))):
            line = QHBoxLayout()
            line.setSpacing(4)
            words = QLabel(title)
            words.setFixedWidth(42)
            line.addWidget(words)
            line.addWidget(combo.box, 1)
            grid.addLayout(line, place, 1)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for widget in (self.start, self.cancel, self.csv, self.keep):
            buttons.addWidget(widget)
        grid.addLayout(buttons, 2, 1)
        grid.addWidget(self.progress, 3, 0, 1, 2)
        grid.addWidget(self.status, 4, 0, 1, 2)
        grid.addWidget(self.warning, 5, 0, 1, 2)
        grid.setRowStretch(4, 1)

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
