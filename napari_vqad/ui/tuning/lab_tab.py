"""The tab Lab: anomalies are put into the scan by clicking, and the edited scan is analysed at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
)

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume, fingerprint
from napari_vqad.simulate.edits import check_place
from napari_vqad.simulate.recipe import Edit, ForeignScan, Painted, Point, Round
from napari_vqad.tuning.lab import Edits, Lab
from napari_vqad.ui.layers import edited_scan, placement
from napari_vqad.ui.plumbing.style import AMBER, BUTTONS
from napari_vqad.ui.plumbing.worker import WorkerSlot
from napari_vqad.ui.request import PreparedScan
from napari_vqad.ui.session import Session
from napari_vqad.ui.tuning.lab_form import LabForm
from napari_vqad.ui.tuning.mask_painting import MaskPainting
from napari_vqad.ui.tuning.placing import Placing
from napari_vqad.ui.tuning.tab import BenchTab

HELD = (
    "Alignment, brain mask and intensity scale are held from the original scan, so slices that no anomaly touches keep "
    "their results."
)
BRIEF = "Slices that none of them touches keep their results."
HINT = "Press Place, then click on the picture where the anomaly goes."


class LabTab(BenchTab):
    """Kind, shape and size of the next anomaly; buttons; and the list of anomalies that are in the scan."""

    title = "Lab"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.lab: Lab | None = None
        self._taken: tuple[Volume | None, Point] | None = None  # where the next patch comes from
        self._known: dict[str, ForeignScan] = {}  # other scans that patches came from, by SHA-256
        self._peeked: list[Any] = []  # layers that are hidden while another scan is shown
        self._measuring = WorkerSlot(self.tell)
        self.painting = MaskPainting(session.viewer)
        self.form = LabForm()
        self.place = Placing(session.connections)
        self.paint = _button("Paint mask", "Paint an anomaly of any shape; press again to put it in.", True)
        self.undo = _button("Undo", "Take the last anomaly out of the scan.")
        self.redo = _button("Redo", "Put the anomaly in again that was taken out last.")
        self.clear_all = _button("Clear", "Take all anomalies out of the scan; Redo puts them in again.")
        self.original = _button("Show original", "Show the scan without the anomalies, and its analysis.", True)
        self.place.setToolTip("Click on the picture to put the anomaly there. Escape ends placing.")
        self.list, self.hint = QListWidget(), QLabel("")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.list.setToolTip(f"The anomalies in the scan, each with the number that it has in the label layer. {HELD}")
        self.list.setWordWrap(True)
        self.hint.setWordWrap(True)
        self.hint.setMinimumWidth(300)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignTop)
        # A long sentence must not make the window taller; its tooltip has all of it.
        self.hint.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setStyleSheet(BUTTONS)
        self._lay_out()
        self._connect()

    def _lay_out(self) -> None:
        buttons = QGridLayout()
        buttons.setSpacing(3)
        for i, button in enumerate((self.place, self.paint, self.undo, self.redo, self.clear_all, self.original)):
            button.setMinimumWidth(104)
            buttons.addWidget(button, i // 2, i % 2)
        middle = QVBoxLayout()
        middle.addLayout(buttons)
        middle.addWidget(self.hint, 1)
        left = QVBoxLayout()
        left.addWidget(self.form)
        left.addStretch(1)
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 1, 8, 1)
        row.setSpacing(14)
        row.addLayout(left)
        row.addLayout(middle)
        row.addWidget(self.list, 1)

    def _connect(self) -> None:
        self.form.changed.connect(self._explain)
        self.form.kind.currentIndexChanged.connect(self._forget_patch)
        self.form.source.currentIndexChanged.connect(self._forget_patch)
        self.place.placed.connect(self._on_placed)
        self.place.refused.connect(self.tell)
        self.place.toggled.connect(self._on_placing)
        self.paint.toggled.connect(self._on_painting)
        self.undo.clicked.connect(lambda: self._change(Lab.undo))
        self.redo.clicked.connect(lambda: self._change(Lab.redo))
        self.clear_all.clicked.connect(lambda: self._change(Lab.clear))
        self.original.clicked.connect(self._on_original)
        self.session.opened.connect(self._on_opened)
        self.session.reopened.connect(lambda _study: self._forget())
        self.session.connections.on_close(self._end)

    # ---- the bench --------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the anomalies of the scan, and what can be done."""
        lab = self._find_lab()
        shown = [volume for volume in self.session.scans() if volume.edited is None and volume.kind == "head"]
        self.form.offer([v for v in shown if lab is not None and v is not lab.original])
        for button, on in (
            (self.place, lab is not None),
            (self.paint, lab is not None),
            (self.undo, lab is not None and bool(lab.done)),
            (self.redo, lab is not None and bool(lab.undone)),
            (self.clear_all, lab is not None and bool(lab.done)),
            (self.original, lab is not None and bool(lab.done)),
        ):
            button.setEnabled(on)
        lines = [] if lab is None else [edit.in_words(lab.grey) for edit in lab.done]
        lines = [f"{i}. {line}" for i, line in enumerate(lines, start=1)]
        if lines != [self.list.item(i).text() for i in range(self.list.count())]:
            self.list.clear()
            self.list.addItems(lines)
            self.list.scrollToBottom()
        self._explain()
        if not self.hint.text():
            self.tell(HINT, "")

    def clear(self) -> None:
        """Empty the tab. The edits are kept: if the same scan is analysed again, Redo puts them in."""
        self.place.setChecked(False)
        self._peek(None)
        if self.paint.isChecked():
            self.paint.setChecked(False)
        lab = self.lab
        if lab is not None:
            lab.clear()
            # Later, because napari may be changing its list of layers now.
            QTimer.singleShot(0, lambda: self._remove_layers(lab))
        self.list.clear()
        for button in (self.place, self.paint, self.undo, self.redo, self.clear_all, self.original):
            button.setEnabled(False)
        self.tell("There is no scan; analyse one first.", "")

    def tell(self, sentence: str, style: str = AMBER) -> None:
        """Say a sentence beside the buttons; in amber if something was refused."""
        self.hint.setStyleSheet(style)
        self.hint.setText(sentence)
        self.hint.setToolTip(sentence)

    def _explain(self) -> None:
        if self.lab is not None:
            form = self.form
            self.form.explain(self.lab.in_words(form.intensity.value(), form.kind.currentData() == "additive"))

    # ---- the lab ----------------------------------------------------------------------------------------------------

    def _find_lab(self) -> Lab | None:
        """The lab of the scan that is shown, a new one if needed; None if there is no scan, or no head."""
        explorer, prepared = self.session.explorer, self.session.prepared
        if explorer is None or prepared is None:
            return None
        if self.lab is None or not self.lab.is_of(explorer):
            before = self.lab
            try:
                self.lab = Lab(explorer, prepared.mask, self.session.scans())
            except InputError as error:
                self.lab = None
                self.tell(str(error))
                return None
            if before is not None:
                self.lab.carry(before)
        return self.lab

    def _forget(self) -> None:
        """Begin anew after a study was opened: what it shows may have other edits than the lab's."""
        self.lab = None

    def _on_opened(self) -> None:
        """Another analysis was opened: of this lab, or of another scan or model."""
        explorer, lab = self.session.explorer, self.lab
        if explorer is None or lab is None or not lab.is_of(explorer):
            self.place.setChecked(False)
            return
        lab.take(explorer)
        edited = explorer.scan.edited is not None
        self.original.setChecked(not edited and bool(lab.done))
        if edited:
            self.session.viewer.layers.selection.active = self.session.scan
        elif lab.done:
            edited_scan.hide(self.session.viewer, lab.original)
        else:
            edited_scan.remove(self.session.viewer, lab.original)

    def _change(self, act: Callable[[Lab], None]) -> None:
        """Change the list of edits and analyse the scan with it. What is refused changes nothing."""
        if (lab := self._find_lab()) is None:
            return
        try:
            act(lab)
        except (InputError, ValidationError) as error:
            self.tell(str(error) if isinstance(error, InputError) else error.errors()[0]["msg"])
            return
        n = len(lab.done)
        self.tell(f"{n} {'anomaly is' if n == 1 else 'anomalies are'} in the scan. {BRIEF}" if n else HINT, "")
        self.refresh()
        self._show(lab.done)

    def _show(self, edits: Edits) -> None:
        """Analyse the scan with some edits, the slice in view first."""
        session, lab = self.session, self.lab
        current, prepared = session.explorer, session.prepared
        if lab is None or current is None or prepared is None:
            return

        def steps() -> Iterator[str | PreparedScan]:
            yield "Preparing the edited scan …" if edits else "Preparing the original scan …"
            explorer = lab.explorer(current, edits, session.cache_bytes)
            yield replace(prepared, explorer=explorer, scan=None, study=None, chosen=True)

        session.prepare(steps(), None)

    def _on_original(self, on: bool) -> None:
        if (lab := self._find_lab()) is not None:
            self._show(() if on else lab.done)

    # ---- placing ----------------------------------------------------------------------------------------------------

    def _on_placing(self, on: bool) -> None:
        self._forget_patch()
        if not on:
            self._peek(None)
            return
        if self.paint.isChecked():
            self.place.setChecked(False)
            self.tell("Use the painted mask first, or remove its layer.")
        elif self.form.kind.currentData() == "patch":
            self._peek(self.form.source.currentData())
            self.tell("Click where the patch is taken, then where it goes. Escape ends placing.", "")
        else:
            self.tell("Click on the picture where the anomaly goes. Escape ends placing.", "")

    def _on_placed(self, point: tuple[float, ...]) -> None:
        lab = self._find_lab()
        if lab is None or self.session.explorer is None:
            return
        r, a, s = (float(v) for v in placement.frame_mm("head", point))
        if self.form.kind.currentData() == "patch" and self._taken is None:
            self._take_patch(lab, (r, a, s))
        else:
            self._change(lambda lab: lab.add(self._edit(lab, (r, a, s))))
            if self._taken is not None and lab.done and lab.done[-1].taken_from == self._taken[1]:
                self._taken = None
                self._peek(self.form.source.currentData())

    def _take_patch(self, lab: Lab, mm: Point) -> None:
        """Note where a patch is taken from. Of another scan, a worker measures the brain first, for a second or two."""
        other: Volume | None = self.form.source.currentData()
        try:
            check_place(other or lab.original, lab.mask if other is None else None, mm, "The patch")
        except InputError as error:
            self.tell(str(error))
            return

        def measured(scan: ForeignScan) -> None:
            self._known[scan.sha256] = scan
            took()

        def took() -> None:
            if self.place.isChecked():
                self._taken = other, mm
                self._peek(None)
                self.tell("The patch is taken. Now click where it goes.", "")

        if other is None or fingerprint(other) in self._known:
            took()
        else:
            self.tell(f"Measuring the brain of {other.name} …", "")
            self._measuring.start((lab.foreign_scan(v) for v in (other,)), measured)

    def _edit(self, lab: Lab, mm: Point) -> Edit:
        """The edit that the form describes, at a place.

        Raises:
            InputError: the scan that a patch comes from cannot be used.
        """
        form, grid, dims = self.form, self.session.explorer.grid, self.session.viewer.dims  # type: ignore[union-attr]
        plane = placement.plane_of(dims)
        axis = 2 - (3 - sum(plane)) if plane is not None else 2  # the canvas has the axes S, A, R
        fields = form.edit()
        if self._taken is not None:
            other, fields["taken_from"] = self._taken
            fields["scan"] = None if other is None else self._known[fingerprint(other)]
        thickness = max(grid.spacing, float(lab.original.spacing[axis]))
        shape = Round(
            form=form.shape.currentData(),
            centre=mm,
            radius_mm=form.radius.value(),
            axis=axis,  # type: ignore[arg-type]
            thickness_mm=min(thickness, 50.0) if form.shape.currentData() == "disc" else 0.0,
        )
        return Edit(shape=shape, **fields)

    def _forget_patch(self) -> None:
        self._taken = None
        if self.place.isChecked():
            self._peek(self.form.source.currentData() if self.form.kind.currentData() == "patch" else None)

    def _peek(self, other: Volume | None) -> None:
        """Show another scan alone, to choose a patch in it; None shows the analysis again."""
        layers = self.session.viewer.layers
        for layer, visible in self._peeked:
            if layer in layers:
                layer.visible = visible
        self._peeked = []
        wanted = next((m for m in layers if other is not None and placement.is_scan_of(m, other)), None)
        if wanted is not None:
            self._peeked = [(layer, layer.visible) for layer in layers]
            for layer, _ in self._peeked:
                layer.visible = layer is wanted

    # ---- painting ---------------------------------------------------------------------------------------------------

    def _on_painting(self, on: bool) -> None:
        lab = self._find_lab()
        self.paint.setText("Use mask" if on else "Paint mask")
        if on and lab is not None:
            self.place.setChecked(False)
            self.painting.begin(lab.original, self.form.radius.value())
            self.tell("Paint on the picture, in as many slices as you like, then press Use mask.", "")
        elif self.painting.layer is not None and lab is not None:
            self._use_mask(lab)
        else:
            self.painting.end()

    def _use_mask(self, lab: Lab) -> None:
        try:
            painted = Painted.of(self.painting.mask(lab.original))
            fields = self.form.edit()
            if fields["kind"] in ("sink", "source", "patch"):
                raise InputError("A painted mask takes an intensity, or is shuffled; choose one of these kinds.")
        except InputError as error:
            self.tell(str(error))
            if self.painting.layer is not None:  # the user can go on painting
                self.paint.blockSignals(True)
                self.paint.setChecked(True)
                self.paint.setText("Use mask")
                self.paint.blockSignals(False)
            return
        before = lab.done
        self._change(lambda lab: lab.add(Edit(shape=painted, **fields)))
        if lab.done is not before:
            self.painting.end()

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _remove_layers(self, lab: Lab) -> None:
        explorer = self.session.explorer
        if explorer is None or explorer.scan.source is not lab.original:
            edited_scan.remove(self.session.viewer, lab.original)

    def _end(self) -> None:
        self._measuring.detach()
        self.place.setChecked(False)
        self.painting.end()


def _button(text: str, tip: str, checkable: bool = False) -> QToolButton:
    button = QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setCheckable(checkable)
    return button
