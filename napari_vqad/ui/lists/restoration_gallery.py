"""The restorations of the slice in view as thumbnails: their mean, where they disagree, and each with its weight."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPixmap, QResizeEvent
from qtpy.QtWidgets import QLabel, QListView, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_vqad.display.colours import heat
from napari_vqad.display.orientation import upright
from napari_vqad.display.scales import WINDOW, limits
from napari_vqad.display.views import MEAN, SPREAD
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.maps import SliceRestorations
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.ui.lists.key_filter import KeyFilter

LOW, TALL, WORDS = 40, 180, 34  # pixels: a thumbnail's height at least and at most, and the line under it

WAITING = "The restorations of the slice in view appear here when they are drawn."


class GalleryStyle(NamedTuple):
    """As the canvas shows it: window in SD, and is the patient's right on the right?"""

    window: tuple[float, float] = WINDOW
    neurological: bool = False


class Thumbnail(NamedTuple):
    """A picture (H, W, 3), 0 to 1, what is under it, which restoration it is, and the side of its left edge."""

    which: int
    words: str
    rgb: np.ndarray
    side: str


class RestorationGallery(QWidget):
    """Thumbnails of the restorations; the chosen one is what the Restoration view shows."""

    chosen = Signal(int)  # MEAN, SPREAD, or the number of a restoration, from 1

    def __init__(self) -> None:
        super().__init__()
        self.words = QLabel(WAITING)
        self.words.setWordWrap(True)
        self.pictures = QListWidget()
        self.pictures.setViewMode(QListView.ViewMode.IconMode)
        self.pictures.setFlow(QListView.Flow.LeftToRight)
        self.pictures.setWrapping(False)
        self.pictures.setMovement(QListView.Movement.Static)
        self.pictures.setResizeMode(QListView.ResizeMode.Adjust)
        self.pictures.setUniformItemSizes(True)
        self.pictures.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.pictures.setToolTip("Click, or the arrow keys: show this restoration in the canvas.")
        KeyFilter(self.pictures)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.addWidget(self.words)
        column.addWidget(self.pictures, 1)
        self._of = (0, -1)  # explorer and slice
        self._thumbnails: list[Thumbnail] = []
        self.pictures.currentItemChanged.connect(lambda item, _before: self._choose(item))
        self.pictures.itemClicked.connect(self._choose)  # the current one, too: another view may be shown

    def show_slice(self, explorer: Explorer | None, which: int, look: GalleryStyle = GalleryStyle()) -> None:  # noqa: B008  # frozen
        """Show the restorations of the slice in focus; `which` of them is marked as the one in the canvas.

        While they are drawn anew those before stay, as they do in the canvas; those of another slice do not.
        """
        if explorer is None:
            self._of, self._thumbnails = (0, -1), []
            self._fill()
            self.words.setText(WAITING)
            return
        grid, found, of = explorer.grid, explorer.restorations(explorer.focus), (id(explorer), explorer.focus)
        if found is None and of != self._of:
            self._thumbnails = []
            self._fill()
            self.words.setText(WAITING)
        elif found is not None:
            fresh = thumbnails_of(explorer, found, look)
            if not _alike(fresh, self._thumbnails):
                self._thumbnails = fresh
                self._fill()
            n, apart = len(found.weights), found.disagreement[grid.mask[explorer.focus]].max(initial=0)
            words = f"{n} restorations, with their weights w in the mean. The largest SD among them is {apart:.1f}, "
            words = words + "in SD of healthy intensity." if n > 1 else "one restoration."
            at = f"{grid.slice_label(explorer.focus)}{grid.axis_note}"
            at = f"Slice {numbers(grid)[explorer.focus]}, {at}" if grid.kind == "head" else at
            self.words.setText(f"{at}: {words}")
        self._of = of
        self._mark(which)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802, D102
        super().resizeEvent(event)
        which = self._which(self.pictures.currentItem())
        self._fill()  # as tall as there is room
        self._mark(which)

    def _fill(self) -> None:
        scrolled = self.pictures.horizontalScrollBar().value()
        self.pictures.blockSignals(True)
        self.pictures.clear()
        tall = min(max(self.pictures.viewport().height() - WORDS, LOW), TALL)
        wide = self.fontMetrics().horizontalAdvance("30: w 100.0 %")
        for which, words, rgb, side in self._thumbnails:
            picture = _pixmap(rgb).scaledToHeight(tall, Qt.TransformationMode.SmoothTransformation)
            _write(picture, side)
            self.pictures.setIconSize(picture.size())
            self.pictures.setGridSize(QSize(max(picture.width(), wide) + 14, tall + WORDS - 6))
            icon = QIcon(picture)
            icon.addPixmap(picture, QIcon.Mode.Selected)  # not tinted: its frame says that it is chosen
            item = QListWidgetItem(icon, words)
            item.setData(Qt.ItemDataRole.UserRole, which)
            self.pictures.addItem(item)
        self.pictures.blockSignals(False)
        self.pictures.horizontalScrollBar().setValue(scrolled)

    def _mark(self, which: int | None) -> None:
        """Choose a thumbnail without telling anybody."""
        self.pictures.blockSignals(True)
        for row in range(self.pictures.count()):
            if self._which(self.pictures.item(row)) == which:
                self.pictures.setCurrentRow(row)
        self.pictures.blockSignals(False)

    def _choose(self, item: QListWidgetItem | None) -> None:
        which = self._which(item)
        if which is not None:
            self.chosen.emit(which)

    def _which(self, item: QListWidgetItem | None) -> int | None:
        return None if item is None else item.data(Qt.ItemDataRole.UserRole)


def thumbnails_of(explorer: Explorer, found: SliceRestorations, look: GalleryStyle) -> list[Thumbnail]:
    """The restorations of the slice in focus: their mean, their SD over the scan where there are more, each of them."""
    grid, i = explorer.grid, explorer.focus
    inside = np.flatnonzero(grid.mask.any((0, 2))), np.flatnonzero(grid.mask.any((0, 1)))
    box = tuple(slice(max(int(at[0]) - 2, 0), int(at[-1]) + 3) for at in inside)
    mirrored = look.neurological and grid.axis != 0
    side = ("A", "L" if mirrored else "R")[grid.axis != 0] if grid.kind == "head" else ""

    def turned(picture: np.ndarray) -> np.ndarray:
        if grid.kind != "head":
            return picture[box].T
        radiological = upright(picture[box])
        return radiological[:, ::-1] if mirrored else radiological

    def grey(picture: np.ndarray) -> np.ndarray:
        """In the window of the canvas, dark beyond the mask."""
        low, high = look.window
        shown = np.clip((picture - low) / (high - low), 0, 1) * grid.mask[i]
        return np.repeat(turned(shown)[..., None], 3, 2)

    thumbnails = [Thumbnail(MEAN, "mean of S", grey(found.mean), side)]
    if len(found.weights) > 1:
        low, high = limits(explorer)["disagreement"]
        colour = heat()(np.clip((turned(found.disagreement * grid.mask[i]) - low) / (high - low), 0, 1))
        over = grey(grid.slices[i]) * (1 - colour[..., 3:]) + colour[..., :3] * colour[..., 3:]
        thumbnails.append(Thumbnail(SPREAD, "SD of S", over, side))
    for j, (picture, weight) in enumerate(zip(found.pictures, found.weights, strict=True), start=1):
        thumbnails.append(Thumbnail(j, f"{j}: w {100 * weight:.1f} %", grey(picture), side))
    return thumbnails


def _alike(some: list[Thumbnail], others: list[Thumbnail]) -> bool:
    return len(some) == len(others) and all(
        (a.words, a.side) == (b.words, b.side) and np.array_equal(a.rgb, b.rgb)
        for a, b in zip(some, others, strict=True)
    )


def _pixmap(rgb: np.ndarray) -> QPixmap:
    data = np.ascontiguousarray((255 * rgb).astype(np.uint8))
    return QPixmap.fromImage(
        QImage(data.data, data.shape[1], data.shape[0], 3 * data.shape[1], QImage.Format.Format_RGB888)
    )


def _write(picture: QPixmap, side: str) -> None:
    """The letter of the side at the left edge."""
    painter = QPainter(picture)
    font = painter.font()
    font.setPixelSize(10)
    painter.setFont(font)
    painter.setPen(QColor("#f0f0f0"))
    painter.drawText(
        picture.rect().adjusted(2, 0, 0, 0), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, side
    )
    painter.end()
