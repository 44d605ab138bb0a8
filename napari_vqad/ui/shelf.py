"""Where the worklist stands: below the canvas, taken out by a button and put away by it or by its own cross."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtWidgets import QToolButton

from napari_vqad.ui.drawer import Drawer
from napari_vqad.ui.session import Session
from napari_vqad.ui.worklist import Worklist


class Shelf(Drawer):
    """Shows the worklist of a session while its button is down. Verdicts are the session's and stay."""

    def __init__(self, viewer: Viewer, session: Session, button: QToolButton) -> None:
        self.session, self.worklist = session, Worklist(session.review)
        self.worklist.gone_to.connect(session.show_finding)
        super().__init__(viewer, button, self.worklist, "Findings")

    def show(self, on: bool) -> None:
        """Take the list out, or put it away."""
        self.session.reviewing = on
        super().show(on)
        self.session.list_findings()

    def step(self, by: int) -> None:
        """Go to the next (1) or previous (−1) finding."""
        self.button.setChecked(True)
        self.worklist.step(by)
