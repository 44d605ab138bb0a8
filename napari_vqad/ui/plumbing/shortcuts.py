"""All keyboard shortcuts. The dock, the list of findings and the key sheet use these constants.

A key for the canvas must not be a key of one of napari's layer types, because those come before the viewer's keys.
Keys are written in Qt's form; `napari_form` converts them.
"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QMessageBox, QWidget

from napari_vqad.ui.plumbing.connections import ViewerConnections

NEXT, PREVIOUS = ".", ","
NEXT_FINDING, PREVIOUS_FINDING = "N", "Shift+N"
ORIGINAL, FLICKER, TURN, PLANES, BOXES = "H", "J", "U", "G", "K"
NARROW, BRAIN, WIDE = "8", "9", "0"
HELP = "F1"
ACCEPT, REJECT, UNDO = "A", "X", "Ctrl+Z"
# These work wherever the focus is in the viewer's window.
REPORT, SAVE, MAPS = "Ctrl+Shift+R", "Ctrl+Shift+S", "Ctrl+Shift+M"
WINDOW_DRAG = "Shift + drag"

# Group → keys, and what they do.
SHEET: dict[str, tuple[tuple[str, str], ...]] = {
    "Navigation": (
        (f"{NEXT}  {PREVIOUS}", "next, previous flagged slice"),
        (f"{NEXT_FINDING}  {PREVIOUS_FINDING}", "next, previous finding"),
        (PLANES, "show orthogonal views; click in a plane to go to that point"),
        (BOXES, "show boxes around the findings"),
    ),
    "Picture": (
        (f"{ORIGINAL} (hold)", "show the scan alone"),
        (FLICKER, "show scan and restoration in turn"),
        (TURN, "radiological ↔ neurological"),
        (f"{NARROW}  {BRAIN}  {WIDE}", "window: narrow, brain, wide"),
        (WINDOW_DRAG, "window (sideways) and level (up and down)"),
        (HELP, "show this list of keys"),
    ),
    "In the list of findings": (
        (f"{ACCEPT}  {REJECT}", "accept, reject (also on the canvas); press again to undo"),
        (UNDO, "undo"),
        ("Enter", "go to the finding"),
    ),
    "Export": (
        (REPORT, "report"),
        (SAVE, "save the study"),
        (MAPS, "maps, table and numbers"),
    ),
    "Keys of napari": (
        ("←  →", "previous, next slice; also Ctrl + wheel"),
        ("Ctrl+E", "next plane: axial → sagittal → coronal"),
        ("Ctrl+R", "show the whole head"),
        ("Ctrl+Y", "2D ↔ 3D"),
    ),
}


def napari_form(key: str) -> str:
    """Convert a key from Qt's form to napari's: "Shift+N" → "Shift-N"."""
    return key.replace("+", "-")


def bind(connections: ViewerConnections, key: str, act: Callable[[], object]) -> None:
    """Call `act` when a key is pressed on the canvas."""
    connections.bind_key(napari_form(key), lambda _viewer: act())


def as_html() -> str:
    """The key sheet as an HTML table."""
    rows = []
    for group, keys in SHEET.items():
        rows.append(f"<tr><td colspan=2><b>{group}</b></td></tr>")
        for key, does in keys:
            spaced = key.replace("  ", "&nbsp;&nbsp;&nbsp;")
            rows.append(f"<tr><td style='padding-right: 18px'><code><b>{spaced}</b></code></td><td>{does}</td></tr>")
    return f"<table cellspacing=3>{''.join(rows)}</table>"


def show_sheet(parent: QWidget) -> QMessageBox:
    """Open the key sheet in a window that does not block the viewer."""
    box = QMessageBox(parent)
    box.setWindowTitle("Keys")
    box.setText(as_html())
    box.setModal(False)
    box.open()
    return box
