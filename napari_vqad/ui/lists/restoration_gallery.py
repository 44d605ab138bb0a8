"""The restorations of the slice in view as thumbnails: their mean, where they disagree, and each with its weight."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QResizeEvent
from qtpy.QtWidgets import QLabel, QListView, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_vqad.display.slice_picture import PictureStyle
from napari_vqad.display.thumbnails import Thumbnail, alike, thumbnails_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.ui.lists.key_filter import KeyFilter
from napari_vqad.ui.lists.pixmaps import to_pixmap, write_side

LOW, TALL, WORDS = 40, 180, 34  # pixels: a thumbnail's height at least and at most, and the line under it

WAITING = "The restorations of the slice in view appear here when they are computed."


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
        self.pictures.setToolTip("Click a restoration, or use the arrow keys, to show it on the canvas.")
        KeyFilter(self.pictures)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 4, 6, 4)
        column.addWidget(self.words)
        column.addWidget(self.pictures, 1)
        self._shown_slice = (0, -1)  # explorer and slice
        self._thumbnails: list[Thumbnail] = []
        self.pictures.currentItemChanged.connect(lambda item, _before: self._choose(item))
        self.pictures.itemClicked.connect(self._choose)  # the current one, too: another view may be shown

    def show_slice(self, explorer: Explorer | None, which: int, look: PictureStyle = PictureStyle()) -> None:  # noqa: B008  # frozen
        """Show the restorations of the slice in focus; `which` of them is marked as the one in the canvas.

        While they are drawn anew those before stay, as they do in the canvas; those of another slice do not.
        """
        if explorer is None:
            self._shown_slice, self._thumbnails = (0, -1), []
            self._fill_list()
            self.words.setText(WAITING)
            return
        grid, found, of = explorer.grid, explorer.restorations(explorer.focus), (id(explorer), explorer.focus)
        if found is None and of != self._shown_slice:
            self._thumbnails = []
            self._fill_list()
            self.words.setText(WAITING)
        elif found is not None:
            fresh = thumbnails_of(explorer, found, look)
            if not alike(fresh, self._thumbnails):
                self._thumbnails = fresh
                self._fill_list()
            n, apart = len(found.weights), found.disagreement[grid.mask[explorer.focus]].max(initial=0)
            words = f"{n} restorations, with their weights w in the mean. The largest SD among them is {apart:.1f}, "
            words = words + "in SD of healthy intensity." if n > 1 else "one restoration."
            at = f"{grid.slice_label(explorer.focus)}{grid.axis_note}"
            at = f"Slice {numbers(grid)[explorer.focus]}, {at}" if grid.kind == "head" else at
            self.words.setText(f"{at}: {words}")
        self._shown_slice = of
        self._select(which)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802, D102
        super().resizeEvent(event)
        which = self._which(self.pictures.currentItem())
        self._fill_list()  # as tall as there is room
        self._select(which)

    def _fill_list(self) -> None:
        scrolled = self.pictures.horizontalScrollBar().value()
        self.pictures.blockSignals(True)
        self.pictures.clear()
        tall = min(max(self.pictures.viewport().height() - WORDS, LOW), TALL)
        wide = self.fontMetrics().horizontalAdvance("30: w 100.0 %")
        for which, words, rgb, side in self._thumbnails:
            picture = to_pixmap(rgb).scaledToHeight(tall, Qt.TransformationMode.SmoothTransformation)
            write_side(picture, side)
            self.pictures.setIconSize(picture.size())
            self.pictures.setGridSize(QSize(max(picture.width(), wide) + 14, tall + WORDS - 6))
            icon = QIcon(picture)
            icon.addPixmap(picture, QIcon.Mode.Selected)  # not tinted: its frame says that it is chosen
            item = QListWidgetItem(icon, words)
            item.setData(Qt.ItemDataRole.UserRole, which)
            self.pictures.addItem(item)
        self.pictures.blockSignals(False)
        self.pictures.horizontalScrollBar().setValue(scrolled)

    def _select(self, which: int | None) -> None:
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
