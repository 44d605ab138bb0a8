"""A drop-down list that keeps its choice when its items change, and a spin box for restorations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QSpinBox

from napari_vqad.display.views import MEAN, OF_ALL, WHICH_TIP, which_in_words


class DataCombo:
    """A drop-down list of texts, each with a value."""

    def __init__(self, tip: str) -> None:
        self.box = QComboBox()
        self.box.setToolTip(tip)
        # Long layer names must not widen the dock.
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.box.setMinimumContentsLength(12)

    @property
    def value(self) -> Any:
        """The value of the chosen item."""
        return self.box.currentData()

    def items(self) -> list[tuple[str, Any]]:
        """All texts and values."""
        return [(self.box.itemText(i), self.box.itemData(i)) for i in range(self.box.count())]

    def fill(self, items: list[tuple[str, Any]], newest: bool = False) -> None:
        """Replace the items and keep the choice; with `newest`, choose the last of the new items if there is one."""
        before, known = self.value, [id(v) for _, v in self.items()]
        fresh = [v for _, v in items if id(v) not in known]
        self.box.blockSignals(True)  # suppress signals while items are replaced
        self.box.clear()
        for text, value in items:
            self.box.addItem(text, value)
        self.pick(fresh[-1] if newest and fresh else before)
        self.box.blockSignals(False)
        if self.value is not before:
            self.box.currentIndexChanged.emit(self.box.currentIndex())

    def pick(self, value: Any) -> None:
        """Choose an item by its value."""
        for i, (_, v) in enumerate(self.items()):
            if v is value or (isinstance(v, (str, Path)) and v == value):
                self.box.setCurrentIndex(i)


class RestorationSpinBox(QSpinBox):
    """Chooses the restoration to show: the mean of all, the SD of all, or one by its number."""

    def __init__(self) -> None:
        super().__init__()
        self.setRange(min(OF_ALL), 30)
        self.setValue(MEAN)
        self.lineEdit().setReadOnly(True)
        self.setToolTip(WHICH_TIP)

    def limit(self, n: int) -> None:
        """Set the number of restorations. A greater value becomes n, without a signal."""
        self.blockSignals(True)
        self.setMaximum(n)
        self.blockSignals(False)

    def textFromValue(self, value: int) -> str:  # noqa: N802, D102
        return which_in_words(value)

    def valueFromText(self, text: str) -> int:  # noqa: N802, D102
        known = {word: value for value, word in OF_ALL.items()}
        return known[text] if text in known else int(text.rpartition("#")[2])
