"""Small forms that ask the user for input: magicgui widgets in a dialog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from magicgui.widgets import Dialog
from magicgui.widgets.bases import ValueWidget, Widget
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget


def ask(title: str, widgets: Sequence[Widget], parent: QWidget | None = None) -> dict[str, Any] | None:
    """Show widgets in a dialog with OK and Cancel, wait for the user, and delete the dialog.

    Args:
        title: the title of the dialog.
        widgets: from top to bottom. They are deleted with the dialog.
        parent: the dialog lies above this widget's window and looks like it; napari's window when not given.

    Returns:
        Widget name → value, for each widget that has a name and a value; None if the user cancelled.
    """
    window = parent.window() if parent is not None else _window()
    form = Dialog(widgets=widgets, labels=False, parent=window)
    dialog = form.native
    dialog.setWindowTitle(title)
    dialog.setObjectName("vqad-form")
    try:
        if not form.exec():
            return None
        return {widget.name: widget.value for widget in widgets if isinstance(widget, ValueWidget) and widget.name}
    finally:
        dialog.setParent(None)
        dialog.deleteLater()


def _window() -> QWidget | None:
    """The active window, or a main window that is visible."""
    windows = (w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow) and w.isVisible())
    return QApplication.activeWindow() or next(windows, None)
