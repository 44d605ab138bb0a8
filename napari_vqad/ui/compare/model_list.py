"""The list of models to tick, grouped by family."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from napari_vqad.detectors.bundle import read_config
from napari_vqad.detectors.protocol import Detector
from napari_vqad.detectors.registry import detector_class
from napari_vqad.display.families import FAMILIES
from napari_vqad.display.model_groups import BROKEN, fits_scan, group_of, shown
from napari_vqad.errors import InputError
from napari_vqad.imaging.measurements import GradientTable
from napari_vqad.imaging.volume import Kind

FOLDER, IS_TITLE = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
ORDER = (*FAMILIES.values(), BROKEN)


class ModelList(QListWidget):
    """Models to tick, under the titles of their families."""

    def __init__(self) -> None:
        super().__init__()
        self.setToolTip("Tick two or more models.")
        self.setMaximumHeight(170)

    def offer(self, folder: Path) -> type[Detector] | None:
        """Add a model and return its detector. One that cannot be read is disabled, and its tooltip says why."""
        try:
            config = read_config(folder)
        except InputError as error:
            item = QListWidgetItem(f"{folder.name} (cannot be used)")
            item.setToolTip(str(error))
            item.setFlags(Qt.ItemFlag.NoItemFlags)
            self._insert(item, BROKEN)
            return None
        item = QListWidgetItem(config.title)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Unchecked)
        item.setData(FOLDER, folder)
        self._insert(item, group_of(folder))
        return detector_class(config.detector)

    def _insert(self, item: QListWidgetItem, group: str) -> None:
        """Add a model below those of its family, and the family's title if it is missing."""
        items = self.rows()
        before = [i for i, other in enumerate(items) if other.data(IS_TITLE) and _place(other.text()) <= _place(group)]
        at = next((i for i, other in enumerate(items) if other.data(IS_TITLE) and i not in before), len(items))
        if not before or items[before[-1]].text() != group:
            title = QListWidgetItem(group)
            title.setFlags(Qt.ItemFlag.NoItemFlags)
            title.setData(IS_TITLE, True)
            font = title.font()
            font.setBold(True)
            title.setFont(font)
            self.insertItem(at, title)
            at += 1
        self.insertItem(at, item)

    def rows(self) -> list[QListWidgetItem]:
        """All rows: titles and models."""
        return [item for i in range(self.count()) if (item := self.item(i)) is not None]

    def tick(self, *folders: Path) -> None:
        """Tick these models and no others."""
        for item in self.rows():
            if (folder := item.data(FOLDER)) is not None:
                item.setCheckState(Qt.CheckState.Checked if folder in folders else Qt.CheckState.Unchecked)

    def ticked(self) -> list[Path]:
        """The folders of the ticked models."""
        ticked = [i for i in self.rows() if i.checkState() == Qt.CheckState.Checked and not i.isHidden()]
        return [folder for item in ticked if (folder := item.data(FOLDER)) is not None]

    def show_fitting(self, kind: Kind | None, gradients: GradientTable | None) -> None:
        """Show only models for this kind of scan, and for its diffusion measurements, if they know some.

        Those that cannot be read are shown, too; their tooltips say why.
        """
        items = self.rows()
        rows = [
            None if item.data(IS_TITLE) else (folder := item.data(FOLDER)) is None or fits_scan(folder, kind, gradients)
            for item in items
        ]
        for item, show in zip(items, shown(rows), strict=True):
            item.setHidden(not show)


def _place(title: str) -> int:
    return ORDER.index(title)
