"""A drop-down list that keeps what was picked when its items change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox


class Chooser:
    """Texts with values behind them."""

    def __init__(self, tip: str) -> None:
        self.box = QComboBox()
        self.box.setToolTip(tip)
        # Long layer names must not widen the dock.
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(12)

    @property
    def value(self) -> Any:
        """What is picked."""
        return self.box.currentData()

    def items(self) -> list[tuple[str, Any]]:
        """All texts and values."""
        return [(self.box.itemText(i), self.box.itemData(i)) for i in range(self.box.count())]

    def fill(self, items: list[tuple[str, Any]], newest: bool = False) -> None:
        """Replace the items; what was picked stays, unless `newest` and there is one that was not there before."""
        before, known = self.value, [id(v) for _, v in self.items()]
        fresh = [v for _, v in items if id(v) not in known]
        self.box.clear()
        for text, value in items:
            self.box.addItem(text, value)
        self.pick(fresh[-1] if newest and fresh else before)

    def pick(self, value: Any) -> None:
        """Pick an item by its value."""
        for i, (_, v) in enumerate(self.items()):
            if v is value or (isinstance(v, (str, Path)) and v == value):
                self.box.setCurrentIndex(i)
