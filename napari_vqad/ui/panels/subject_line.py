"""A line that names the scan and model that the dock shows. It does not scroll."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_vqad.ui.panels.inputs import Inputs
from napari_vqad.ui.plumbing.style import AMBER, SMALL
from napari_vqad.ui.session import Session

NOTHING = "No scan is analysed yet."


class Subject(QWidget):
    """Names the scan and model shown, and in amber: edits of the scan, a different choice in the lists, a warning."""

    resized = Signal()  # the height needed has changed

    def __init__(self, session: Session, inputs: Inputs) -> None:
        super().__init__()
        self.session, self.inputs = session, inputs
        self.scan, self.model = (_eliding() for _ in range(2))
        self.scan.setStyleSheet("font-weight: bold;")
        self.model.setStyleSheet(SMALL)
        self.edited, self.asks, self.warning = (_amber() for _ in range(3))
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 4)
        column.setSpacing(1)
        for label in (self.scan, self.edited, self.model, self.asks, self.warning):
            column.addWidget(label)
        session.opened.connect(lambda: self.warn(""))
        session.opened.connect(self.refresh)
        session.emptied.connect(self.refresh)
        session.settled.connect(self.refresh)
        for box in (inputs.scan.box, inputs.bundle.box):
            box.currentIndexChanged.connect(lambda _index: self.refresh())
        self.refresh()

    def warn(self, sentence: str) -> None:
        """Show a warning in amber; an empty sentence or another scan removes it."""
        self._set_text(self.warning, sentence)

    def refresh(self) -> None:
        """Update the line from the session and from the lists of scans and models."""
        explorer, layer = self.session.explorer, self.session.scan
        if explorer is None or layer is None:
            self.scan.setText(NOTHING)
            self.model.setText("")
            self.warn("")
        else:
            self.scan.setText(f"Shown: {layer.name}")
            self.model.setText(f"Model: {explorer.bundle.title}")
        for label in (self.scan, self.model):
            label.setToolTip(label.text())
        made = explorer.scan.edited if explorer is not None and layer is not None else None
        self._set_text(self.edited, f"{made.headline}." if made is not None else "")
        self.edited.setToolTip("\n".join(made.lines) if made is not None else "")
        self.model.setVisible(bool(self.model.text()))
        self._set_text(self.asks, self._not_analysed())
        self.resized.emit()

    def _not_analysed(self) -> str:
        """A sentence that names what the user has chosen but not analysed yet."""
        explorer, layer = self.session.explorer, self.session.scan
        if explorer is None or layer is None:
            return ""
        chosen, folder, other = self.inputs.scan.value, self.inputs.bundle.value, []
        if chosen is not None and chosen is not layer:
            other.append(chosen.name)
        if folder is not None and folder != explorer.bundle.folder:
            other.append(f"model {self.inputs.bundle.box.currentText()}")
        if self.session.settings.axis != explorer.settings.axis:
            other.append(f"{self.session.settings.axis} slices")
        return f"Chosen: {', '.join(other)}. Press Analyse." if other else ""

    def _set_text(self, label: QLabel, sentence: str) -> None:
        if label.text() != sentence or label.isVisibleTo(self) != bool(sentence):
            label.setText(sentence)
            label.setVisible(bool(sentence))
            self.resized.emit()


def _eliding() -> QElidingLabel:
    """A label that leaves out the middle of a text that is too long."""
    label = QElidingLabel()
    label.setElideMode(Qt.TextElideMode.ElideMiddle)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return label


def _amber() -> QLabel:
    label = QLabel("")
    label.setWordWrap(True)
    label.setStyleSheet(AMBER)
    label.setVisible(False)
    return label
