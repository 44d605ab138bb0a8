"""The form that asks which series of a DICOM folder to open."""

from __future__ import annotations

from magicgui.widgets import Label, Select
from qtpy.QtWidgets import QDialog, QListWidget, QListWidgetItem

from napari_vqad.io.dicom_index import SeveralSeriesError
from napari_vqad.ui.plumbing.forms import ask

WIDEST = 700  # pixels; longer descriptions scroll
# napari's own grey for a chosen row is hard to see on a bright theme.
ROWS = "QListWidget::item { padding: 3px; } QListWidget::item:selected { background: #2f6f9f; color: white; }"


def ask_series(several: SeveralSeriesError) -> str | None:
    """Ask the user for one of several series.

    Returns:
        The UID of the series; None if the user wants none of them.
    """
    # Numbered, since two series may have the same number, description and size.
    choices = [(f"{place}.  Series {one.words}", one.uid) for place, one in enumerate(several.series, start=1)]
    series = Select(
        name="series",
        choices=choices,
        value=[choices[0][1]],
        tooltip="Each line shows a series: number, description and number of slices. Double-click to open it.",
    )
    _as_list(series.native)
    folder = several.folder.name or str(several.folder)
    text = Label(value=f"{folder} contains {len(choices)} series. Choose one:")
    chosen = ask("Which series?", [text, series])
    return chosen["series"][0] if chosen and chosen["series"] else None


def _as_list(view: QListWidget) -> None:
    """Let the user choose exactly one row; a double click on it accepts the form."""
    view.setSelectionMode(QListWidget.SelectionMode.SingleSelection)
    view.setStyleSheet(ROWS)
    view.setCurrentRow(0)
    view.setMinimumSize(min(max(view.sizeHintForColumn(0) + 40, 440), WIDEST), 180)

    view.itemDoubleClicked.connect(_accept)
    view.setFocus()


def _accept(item: QListWidgetItem) -> None:
    """Accept the form that a row belongs to."""
    view = item.listWidget()
    window = view.window() if view is not None else None
    if isinstance(window, QDialog):
        window.accept()
