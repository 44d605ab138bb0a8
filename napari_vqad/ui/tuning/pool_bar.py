"""Buttons and a list for the scans that are evaluated together."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QToolButton, QWidget

from napari_vqad.tuning.pool import Pool
from napari_vqad.ui.panels.combo import DataCombo
from napari_vqad.ui.panels.display_bar import make_button

SCAN, POOL = "scan", "pool"


class PoolBar(QWidget):
    """Chooses whether the figures are of the scan that is shown or of the pool, and changes the pool."""

    changed = Signal()  # another choice, or another pool
    wanted = Signal()  # add the scan that is shown

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool()
        self.of = DataCombo(
            "Show figures of this scan, or of all scans in the pool together. The pool collects scans that you have "
            "analysed and added in this session."
        )
        self.of.box.setMinimumContentsLength(8)
        self.add = make_button("Add", "Add this scan and its labels, as they are scored now, to the pool.")
        self.remove = make_button("Pool ▾", "List the scans in the pool; click one to remove it.")
        self.menu = QMenu(self.remove)
        self.remove.setMenu(self.menu)
        self.remove.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.row = row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(3)
        row.addWidget(self.of.box, 1)
        row.addWidget(self.add)
        row.addWidget(self.remove)
        self.of.box.currentIndexChanged.connect(lambda _index: self.changed.emit())
        self.add.clicked.connect(self.wanted)
        self.add.setEnabled(False)
        self.refresh()

    @property
    def shows_pool(self) -> bool:
        """Are the figures of the pool chosen?"""
        return bool(self.of.value == POOL)

    def refresh(self) -> None:
        """Show the scans that are in the pool now."""
        names = list(self.pool.scans)
        scans = "1 scan" if len(names) == 1 else f"{len(names)} scans"
        pool = [(f"pool: {scans}", POOL)] if names else []
        before = self.of.value
        self.of.fill([("this scan", SCAN), *pool])
        if before != self.of.value:
            self.of.pick(SCAN)
        self.remove.setEnabled(bool(names))
        self.menu.clear()
        for name in names:
            self.menu.addAction(f"Remove '{name}'").triggered.connect(partial(self._remove, name))
        if len(names) > 1:
            self.menu.addAction("Remove all").triggered.connect(partial(self._remove, *names))

    def _remove(self, *names: str | bool) -> None:
        for name in names:
            self.pool.scans.pop(str(name), None)
        self.refresh()
        self.changed.emit()
