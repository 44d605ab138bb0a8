"""The restorations of the slice in view as thumbnails: their mean, where they disagree, and each with its weight."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QLabel, QListView, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_vqad.explorer import Explorer
from napari_vqad.maps import Restored
from napari_vqad.sheet import WINDOW, heat, limits, upright
from napari_vqad.ui.board import DISAGREEMENT, MEAN

LOW, TALL, WORDS = 40, 180, 34  # pixels: a thumbnail's height at least and at most, and the line under it


class Strip(QWidget):
    """Thumbnails of the restorations; the chosen one is what the Restoration view shows."""

    chosen = Signal(int)  # MEAN, DISAGREEMENT, or the number of a restoration, from 1

    def __init__(self) -> None:
        super().__init__()
        self.words = QLabel("")
        self.words.setWordWrap(True)
        self.pictures = QListWidget()
        self.pictures.setViewMode(QListView.ViewMode.IconMode)
        self.pictures.setFlow(QListView.Flow.LeftToRight)
        self.pictures.setWrapping(False)
        self.pictures.setMovement(QListView.Movement.Static)
        self.pictures.setResizeMode(QListView.ResizeMode.Adjust)
        self.pictures.setUniformItemSizes(True)
        self.pictures.setToolTip("Click, or the arrow keys: show this restoration in the canvas.")
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.addWidget(self.words)
        column.addWidget(self.pictures, 1)
        self.pictures.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._shown: tuple[Explorer | None, int] = (None, MEAN)
        self.pictures.currentItemChanged.connect(self._on_current)

    def show_slice(self, explorer: Explorer | None, which: int) -> None:
        """Show the restorations of the slice in focus; `which` of them is marked as the one in the canvas."""
        self._shown = explorer, which
        found = explorer.restorations(explorer.focus) if explorer else None
        self.pictures.blockSignals(True)
        self.pictures.clear()
        if explorer is None or found is None:
            self.words.setText("The restorations of the slice in view appear here when they are drawn.")
        else:
            self._fill(explorer, found, which)
        self.pictures.blockSignals(False)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802, D102
        super().resizeEvent(event)
        self.show_slice(*self._shown)  # as tall as there is room

    def _fill(self, explorer: Explorer, found: Restored, which: int) -> None:
        grid, i = explorer.grid, explorer.focus
        self.words.setText(
            f"{grid.place_of(i)}: {len(found.weights)} restorations, with their weights w in the mean. "
            f"They differ by up to {found.disagreement[grid.mask[i]].max(initial=0):.1f} SD of healthy intensity."
        )
        inside = np.flatnonzero(grid.mask.any((0, 2))), np.flatnonzero(grid.mask.any((0, 1)))
        box = tuple(slice(max(int(at[0]) - 2, 0), int(at[-1]) + 3) for at in inside)

        def turned(picture: np.ndarray) -> np.ndarray:
            return upright(picture[box]) if grid.kind == "head" else picture[box].T

        def grey(picture: np.ndarray) -> np.ndarray:
            """(H, W, 3) in the window of the canvas, dark beyond the mask."""
            low, high = WINDOW
            shown = np.clip((picture - low) / (high - low), 0, 1) * grid.mask[i]
            return np.repeat(turned(shown)[..., None], 3, 2)

        low, high = limits(explorer)["disagreement"]
        colour = heat()(np.clip((turned(found.disagreement * grid.mask[i]) - low) / (high - low), 0, 1))
        over = grey(grid.slices[i]) * (1 - colour[..., 3:]) + colour[..., :3] * colour[..., 3:]
        self._add(MEAN, "mean of S", grey(found.mean))
        self._add(DISAGREEMENT, "SD of S", over)
        for j, (picture, weight) in enumerate(zip(found.pictures, found.weights, strict=True), start=1):
            self._add(j, f"{j}: w {100 * weight:.1f} %", grey(picture))
        for row in range(self.pictures.count()):
            if self.pictures.item(row).data(Qt.ItemDataRole.UserRole) == which:
                self.pictures.setCurrentRow(row)

    def _add(self, which: int, text: str, rgb: np.ndarray) -> None:
        data = np.ascontiguousarray((255 * rgb).astype(np.uint8))
        image = QImage(data.data, data.shape[1], data.shape[0], 3 * data.shape[1], QImage.Format.Format_RGB888)
        tall = min(max(self.pictures.viewport().height() - WORDS, LOW), TALL)
        picture = QPixmap.fromImage(image).scaledToHeight(tall, Qt.TransformationMode.SmoothTransformation)
        if self.pictures.count() == 0:
            self.pictures.setIconSize(picture.size())
            wide = self.fontMetrics().horizontalAdvance("30: w 100.0 %")
            self.pictures.setGridSize(QSize(max(picture.width(), wide) + 14, tall + WORDS - 6))
        icon = QIcon(picture)
        icon.addPixmap(picture, QIcon.Mode.Selected)  # not tinted: its frame says that it is chosen
        item = QListWidgetItem(icon, text)
        item.setData(Qt.ItemDataRole.UserRole, which)
        self.pictures.addItem(item)

    def _on_current(self, item: QListWidgetItem | None, _before: object) -> None:
        if item is not None:
            self.chosen.emit(item.data(Qt.ItemDataRole.UserRole))
