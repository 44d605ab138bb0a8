"""The figures of a scan or of the pool, in two columns of names and values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_vqad.tuning.figure_words import BEST_DICE, Row
from napari_vqad.ui.plumbing.style import LINK

PER_COLUMN = 6
MOST = 12  # figures


class FigureTable(QWidget):
    """A name and a value for each figure. The best Dice has a link that sets its threshold."""

    wanted = Signal(float)  # use this threshold

    def __init__(self) -> None:
        super().__init__()
        self.rows: Sequence[Row] = ()
        self.names, self.values = ([QLabel("") for _ in range(MOST)] for _ in range(2))
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(2)
        for i, (name, value) in enumerate(zip(self.names, self.values, strict=True)):
            column, row = divmod(i, PER_COLUMN)
            grid.addWidget(name, row, 2 * column)
            grid.addWidget(value, row, 2 * column + 1)
            value.setTextInteractionFlags(
                Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
            )
            value.linkActivated.connect(lambda link: self.wanted.emit(float(link)))
        grid.setRowStretch(PER_COLUMN, 1)
        for column in (1, 3):
            grid.setColumnMinimumWidth(column, 76)

    def show_rows(self, rows: Sequence[Row], offer: bool = False) -> None:
        """Show figures; `offer` adds a link to the best Dice that sets its threshold."""
        self.rows = rows
        for i, (name, value) in enumerate(zip(self.names, self.values, strict=True)):
            row = rows[i] if i < len(rows) else None
            name.setText("" if row is None else row.name)
            text = "" if row is None else row.text
            if row is not None and offer and row.name == BEST_DICE and row.numbers[1] >= 0:
                text += f' <a href="{np.format_float_positional(row.numbers[1])}" style="{LINK}">&nbsp;use&nbsp;</a>'
            value.setText(text)
            for label in (name, value):
                label.setToolTip("" if row is None else row.tip)
