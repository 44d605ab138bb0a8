"""Which scan and which model everything in the dock is of: a line that never scrolls away."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_vqad.ui.panels.inputs import Inputs
from napari_vqad.ui.plumbing.style import AMBER, SMALL
from napari_vqad.ui.session import Session

NOTHING = "Nothing is analysed."


class Subject(QWidget):
    """Scan and model of what is shown; below them, in amber, what differs from what is chosen, and a warning."""

    resized = Signal()  # it needs more or less room now

    def __init__(self, session: Session, inputs: Inputs) -> None:
        super().__init__()
        self.session, self.inputs = session, inputs
        self.scan, self.model = (_eliding() for _ in range(2))
        self.scan.setStyleSheet("font-weight: bold;")
        self.model.setStyleSheet(SMALL)
        self.asks, self.warning = (_amber() for _ in range(2))
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 4)
        column.setSpacing(1)
        for label in (self.scan, self.model, self.asks, self.warning):
            column.addWidget(label)
        session.opened.connect(lambda: self.warn(""))
        session.opened.connect(self.refresh)
        session.emptied.connect(self.refresh)
        session.settled.connect(self.refresh)
        for box in (inputs.scan.box, inputs.bundle.box):
            box.currentIndexChanged.connect(lambda _index: self.refresh())
        self.refresh()

    def warn(self, sentence: str) -> None:
        """Show a warning about what is shown, in amber; an empty one takes it away, as does another scan."""
        self._say(self.warning, sentence)

    def refresh(self) -> None:
        """Bring the line up to date with the session and with what is chosen."""
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
        self.model.setVisible(bool(self.model.text()))
        self._say(self.asks, self._difference())
        self.resized.emit()

    def _difference(self) -> str:
        """What is chosen and is not what is shown, in a sentence."""
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
        return f"Chosen: {', '.join(other)}: press Analyse." if other else ""

    def _say(self, label: QLabel, sentence: str) -> None:
        if label.text() != sentence or label.isVisibleTo(self) != bool(sentence):
            label.setText(sentence)
            label.setVisible(bool(sentence))
            self.resized.emit()


def _eliding() -> QElidingLabel:
    """A line of any length: its middle is left out where there is no room; the tooltip has all of it."""
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
