"""Where the worklist stands: below the canvas, taken out by a button and put away by it or by its own cross."""

from __future__ import annotations

from typing import Any

from napari.viewer import Viewer
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QToolButton

from napari_vqad.ui.session import Session
from napari_vqad.ui.worklist import Worklist


class Shelf(QObject):
    """Shows the worklist of a session while its button is down. Verdicts are the session's and stay."""

    def __init__(self, viewer: Viewer, session: Session, button: QToolButton) -> None:
        super().__init__(button)
        self.viewer, self.session, self.button = viewer, session, button
        self.worklist = Worklist(session.review)
        self.worklist.gone_to.connect(session.show_finding)
        self._dock: Any = None
        button.toggled.connect(self.show)

    def show(self, on: bool) -> None:
        """Take the list out, or put it away."""
        self.session.reviewing = on
        if on and self._dock is None:
            self._dock = self.viewer.window.add_dock_widget(self.worklist, name="Findings", area="bottom")
            self._dock.destroyed.connect(self._on_gone)  # napari's cross does not hide a dock but ends it
        if self._dock is not None:
            self._dock.setVisible(on)
        self.session.list_findings()

    def step(self, by: int) -> None:
        """Go to the next (1) or previous (−1) finding."""
        self.button.setChecked(True)
        self.worklist.step(by)

    def _on_gone(self) -> None:
        self._dock = None
        self.button.setChecked(False)
