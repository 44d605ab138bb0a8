"""The inputs of an analysis: scan, brain mask, model and device."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from napari.layers import Image, Labels, Layer
from qtpy.QtCore import Qt
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListView,
    QMessageBox,
    QToolButton,
    QWidget,
)

from napari_vqad.detectors.bundle import read_config
from napari_vqad.display.model_groups import fits_scan, grouped, knows_measurements, shown
from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.regular import read_text
from napari_vqad.imaging.measurements import GradientTable
from napari_vqad.imaging.volume import Kind
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.mask_input import StudyMask
from napari_vqad.ui.panels.axis_order import Questions
from napari_vqad.ui.panels.combo import DataCombo


class Inputs(QWidget):
    """Lists of scans, masks, models and devices, and a button that shows the model's card."""

    def __init__(self, bundles: list[Path], device: str, one_model: bool = True) -> None:
        """`one_model=False` leaves out the list of models, for a widget that has its own."""
        super().__init__()
        self.scan = DataCombo("Open a T1 head or a clip with File → Open, or File → Open Sample.")
        self.brain = DataCombo(
            "The brain mask: computed automatically, a Labels layer, a NIfTI file, or that of a study."
        )
        self._labels: list[Labels] = []
        self._study: StudyMask | None = None
        self.bundle = DataCombo("The model of healthy scans that the scan is compared with.")
        self.device = DataCombo("The device that runs the networks; auto uses the GPU if there is one.")
        self.device.fill([(name, name) for name in ("auto", "cuda", "mps", "cpu")])
        self.device.pick(device)
        for title, folders in grouped(bundles).items():
            self._add_title(title)
            for folder in folders:
                self._add_model(folder)
        self.bundle.pick(bundles[0] if bundles else None)
        self.card = QToolButton()
        self.card.setText(" i ")
        self.card.setToolTip("Show the model's card: data, licence, metrics, limits of use.")
        self.card.clicked.connect(self._show_card)
        self.brain.box.activated.connect(self._on_mask)
        self.scan.box.currentIndexChanged.connect(self._on_scan)
        row = QHBoxLayout()
        row.addWidget(self.bundle.box, 1)
        row.addWidget(self.card)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(4)
        form.addRow("Scan", self.scan.box)
        self.questions = Questions()
        if one_model:
            form.addRow(self.questions)
        self._mask_row = (mask := QLabel("Mask"), self.brain.box)
        form.addRow(mask, self.brain.box)
        if one_model:
            form.addRow("Model", row)
        form.addRow("Device", self.device.box)

    def _add_title(self, title: str) -> None:
        """Add the title of a family, which cannot be chosen."""
        box = self.bundle.box
        box.addItem(title)
        model = box.model()
        assert isinstance(model, QStandardItemModel)
        item = model.item(box.count() - 1)
        item.setEnabled(False)
        font = item.font()
        font.setBold(True)
        item.setFont(font)

    def _add_model(self, folder: Path) -> None:
        try:
            self.bundle.box.addItem(read_config(folder).title, folder)
        except InputError as error:
            self.bundle.box.addItem(f"{folder.name} (cannot be used)", folder)
            self.bundle.box.setItemData(self.bundle.box.count() - 1, str(error), Qt.ItemDataRole.ToolTipRole)

    def chosen(self) -> tuple[Image | None, Labels | Path | StudyMask | None, Path | None, str]:
        """The chosen scan, mask (None to compute one, and for a clip), folder of the model, and device."""
        mask = None if self._is_clip() else self.brain.value
        return self.scan.value, mask, self.bundle.value, self.device.value

    def list_layers(self, layers: Iterable[Layer], ours: Iterable[Layer]) -> None:
        """Offer the layers that can be scans or masks; `ours` are the maps of an analysis, which cannot."""
        made = set(map(id, ours))
        # A map that is just being added is not in `ours` yet, but its metadata contain its grid.
        given = [m for m in layers if id(m) not in made and "napari_vqad_grid" not in m.metadata]
        given = [m for m in given if not placement.is_measurements(m)]
        scans = [s for s in given if isinstance(s, Image) and s.ndim == 3 and not s.rgb]
        self.scan.fill([(s.name, s) for s in scans], newest=True)
        self.questions.explain(given)
        self._labels = [m for m in given if isinstance(m, Labels) and m.ndim == 3]
        if self._study is not None and self._study.scan not in scans:
            self._study = None
        self._list_masks()

    def keep_mask(self, mask: StudyMask) -> None:
        """Choose the mask that a study was computed with, and keep it in the list for the study's scan."""
        self._study = mask
        self._list_masks()
        self.brain.pick(mask)

    def _list_masks(self) -> None:
        study = [(kept.title, kept)] if (kept := self._kept()) else []
        files = [(t, v) for t, v in self.brain.items() if isinstance(v, Path)]
        labels = [(m.name, m) for m in self._labels]
        self.brain.fill([("compute automatically", None), *study, *files, *labels, ("from a file …", "file")])

    def _kept(self) -> StudyMask | None:
        """The mask of a study, if it belongs to the chosen scan."""
        return self._study if self._study is not None and self._study.scan is self.scan.value else None

    def _is_clip(self) -> bool:
        return self.scan.value is not None and placement.kind_of(self.scan.value) == "clip"

    def kind(self) -> Kind | None:
        """The kind of the chosen scan; None if there is no scan."""
        return None if self.scan.value is None else placement.kind_of(self.scan.value)

    def gradients(self) -> GradientTable | None:
        """The gradients of the chosen scan, if it is a diffusion scan."""
        measured = None if self.scan.value is None else placement.measurements_of(self.scan.value)
        return None if measured is None else measured.gradients

    def _list_models(self) -> None:
        """Offer only models for the scan. If the chosen one does not fit, choose the first that does.

        A diffusion scan prefers models of its measurements to those of its anatomy.
        """
        box, kind, gradients = self.bundle.box, self.kind(), self.gradients()
        folders = [folder for _, folder in self.bundle.items()]
        fits = [None if folder is None else fits_scan(folder, kind, gradients) for folder in folders]
        view = box.view()
        for row, show in enumerate(shown(fits)):
            if isinstance(view, QListView):
                view.setRowHidden(row, not show)
        if 0 <= box.currentIndex() < len(fits) and not fits[box.currentIndex()] and any(fits):
            box.setCurrentIndex(fits.index(True))
        best = [i for i, f in enumerate(fits) if f and knows_measurements(folders[i])] if gradients is not None else []
        if best and box.currentIndex() not in best:
            box.setCurrentIndex(best[0])

    def _on_scan(self, _index: int) -> None:
        self._list_models()
        for widget in self._mask_row:
            widget.setVisible(not self._is_clip())
        self.questions.ask(self.scan.value)
        self._list_masks()
        if kept := self._kept():  # choose it again, as when the study was opened
            self.brain.pick(kept)

    def _on_mask(self, _index: int) -> None:
        if self.brain.value == "file":
            path, _ = QFileDialog.getOpenFileName(self, "Brain mask", "", "NIfTI (*.nii *.nii.gz)")
            self.brain.box.setCurrentIndex(0)
            if path:
                self.brain.box.insertItem(1, Path(path).name, Path(path))
                self.brain.box.setCurrentIndex(1)

    def _show_card(self) -> None:
        folder = self.bundle.value
        if folder is None:
            return
        box = QMessageBox(self)
        box.setWindowTitle("Model card")
        box.setTextFormat(Qt.TextFormat.MarkdownText)
        card = folder / "README.md"
        try:
            box.setText(read_text(card, limits.TEXT))
        except InputError as error:
            box.setText(str(error) if card.exists() else f"{folder.name} has no model card.")
        box.open()
