"""A button that copies how to repeat what a tab of the tuning bench shows."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QMenu, QToolButton

from napari_vqad.export.reproduction import Reproduction
from napari_vqad.ui.plumbing.style import BUTTONS
from napari_vqad.ui.session import Session

TIP = "Copy the command line, or the lines of Python, that give the same numbers without a viewer."


class CopyMenu(QToolButton):
    """The button; its menu has an entry for each form. The dock's status line says what must be saved first."""

    def __init__(self, session: Session, find: Callable[[], Reproduction | None]) -> None:
        """`find` returns what to copy, None if there is nothing."""
        super().__init__()
        self._session, self._find = session, find
        self.setText("Copy ▾")
        self.setToolTip(TIP)
        self.setStyleSheet(BUTTONS)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        self.setMenu(menu)
        for title, form in (("Command line", "command"), ("Python", "python")):
            menu.addAction(title).triggered.connect(partial(self.copy, form))

    def copy(self, form: str, _checked: bool = False) -> None:
        """Copy the "command" or the "python"."""
        if (found := self._find()) is not None:
            copy_text(self._session, found.command if form == "command" else found.python, found.missing)


def copy_text(session: Session, text: str, missing: tuple[str, ...] = ()) -> None:
    """Put a text on the clipboard and say so in the status line, with the sentences in `missing`."""
    if (clipboard := QGuiApplication.clipboard()) is not None:
        clipboard.setText(text)
        session.advanced.emit(" ".join(["Copied.", *missing]))
