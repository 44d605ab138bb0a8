"""What each tab of the tuning bench is."""

from __future__ import annotations

from typing import ClassVar

from qtpy.QtWidgets import QWidget

from napari_vqad.export.reproduction import Reproduction
from napari_vqad.ui.session import Session


class BenchTab(QWidget):
    """A tab of the tuning bench. It reads the session and changes settings with `session.change`.

    Attributes:
        title: the words on the tab.
    """

    title: ClassVar[str]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session

    def refresh(self) -> None:
        """Show the present analysis. The bench calls this while the tab is visible, at most every 100 ms."""
        raise NotImplementedError

    def reproduction(self) -> Reproduction | None:
        """How to repeat what the tab shows without a viewer; by default, the analysis. None without a scan."""
        return None if (subject := self.session.prepared) is None else subject.reproduction()

    def clear(self) -> None:
        """Empty the tab, because the scan was closed; `session.explorer` is None."""
        raise NotImplementedError
