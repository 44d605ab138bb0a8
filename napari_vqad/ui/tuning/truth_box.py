"""The list of labels to compare with: Labels layers, and folders of label files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QWidget

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.tuning.truth import Truth, is_on, on_scan, read_truth
from napari_vqad.ui.layers.labels_input import labelled_voxels, may_be_truth
from napari_vqad.ui.panels.combo import DataCombo
from napari_vqad.ui.session import Session

NOTHING, ASK = "choose labels", "a folder of label files …"
TIP = (
    "The true lesions: a Labels layer, or a folder with label files named like the scans (a_label.nii.gz or "
    "a_gold.nii.gz for a_t1.nii.gz). Labels above zero are lesions. A Labels layer is chosen automatically if it is "
    "the only one on the scan's voxels."
)


class TruthBox(QWidget):
    """Chooses labels, and reads them."""

    chosen = Signal()
    edited = Signal()  # the user has painted in the chosen layer

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.combo = DataCombo(TIP)
        self.folders: list[Path] = []
        self._listed: tuple = ()  # what the list was made of
        self.by_hand = False  # has the user chosen for this scan?
        self._watched: Labels | None = None
        self._last: tuple[object, Volume, np.ndarray, np.ndarray, Truth] | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel("Labels"))
        row.addWidget(self.combo.box, 1)
        self.combo.box.activated.connect(self._on_activated)
        self.combo.box.currentIndexChanged.connect(lambda _index: self._on_index())
        session.connections.on_close(lambda: self._watch(None))

    @property
    def value(self) -> Labels | Path | None:
        """The chosen layer or folder."""
        return self.combo.value

    def list_layers(self) -> None:
        """Offer the Labels layers of the viewer. Choose the only one on the scan's voxels, unless the user has chosen.

        The brain mask of the analysis is not chosen automatically.
        """
        prepared, layers = self.session.prepared, [m for m in self.session.viewer.layers if may_be_truth(m)]
        key = (prepared, *((layer, layer.name) for layer in layers), *self.folders)
        if key == self._listed:
            return
        if not self._listed or self._listed[0] is not prepared:
            self.by_hand = False
        self._listed = key
        folders = [(f"folder {folder.name}", folder) for folder in self.folders]
        self.combo.fill([(NOTHING, None), *((m.name, m) for m in layers), *folders, (ASK, "ask")])
        if prepared is None or self.by_hand or isinstance(self.value, Path):
            return
        scan = prepared.explorer.scan
        fitting = [layer for layer in layers if self._fits(layer, scan, prepared.mask)]
        self.combo.pick(fitting[0] if len(fitting) == 1 else None)

    def read(self, choice: Labels | Path, scan: Volume) -> Truth:
        """Read labels; the same object while they have not changed. The worker calls this.

        Raises:
            InputError: they do not fit the scan, or cannot be read.
        """
        last = self._last if self._last is not None and self._last[:2] == (choice, scan) else None
        if isinstance(choice, Path):
            if last is None:
                truth = read_truth(choice, scan)
                self._last = choice, scan, truth.voxels, scan.affine, truth
            return self._last[-1]  # type: ignore[index]
        voxels, affine = labelled_voxels(choice, scan)
        if last is None or not (np.array_equal(last[2], voxels) and np.array_equal(last[3], affine)):
            truth = on_scan(voxels, affine, scan, f"the layer '{choice.name}'")
            self._last = choice, scan, voxels, affine, truth
        return self._last[-1]  # type: ignore[index]

    def forget(self) -> None:
        """Let go of the labels that were read last."""
        self._last = None

    def use_folder(self, folder: Path) -> None:
        """Offer a folder of label files and choose it."""
        self.forget()  # its files may have changed
        if folder not in self.folders:
            self.folders.append(folder)
            self.list_layers()
        self.by_hand = True
        self.combo.pick(folder)

    @staticmethod
    def _fits(layer: Labels, scan: Volume, mask: np.ndarray) -> bool:
        """Does a layer lie on the scan's voxels, and is it not the brain mask?"""
        try:
            voxels, affine = labelled_voxels(layer, scan)
        except InputError:
            return False
        return is_on(voxels.shape, affine, scan) and not np.array_equal(voxels, mask)

    def _on_activated(self, _index: int) -> None:
        self.by_hand = True
        if self.value == "ask":
            self.combo.pick(None)
            folder = QFileDialog.getExistingDirectory(self, "Folder of label files")
            if folder:
                self.use_folder(Path(folder))

    def _on_index(self) -> None:
        if self.value == "ask":  # the dialog comes first
            return
        self._watch(self.value if isinstance(self.value, Labels) else None)
        self.chosen.emit()

    def _watch(self, layer: Labels | None) -> None:
        """Emit `edited` when this layer changes, and no other."""
        for one, act in ((self._watched, "disconnect"), (layer, "connect")):
            if one is not None:
                for event in (one.events.paint, one.events.labels_update, one.events.data, one.events.set_data):
                    getattr(event, act)(self._on_edited)
        self._watched = layer

    def _on_edited(self) -> None:
        self.edited.emit()
