"""Which series of a DICOM folder is meant: asked, never guessed."""

from __future__ import annotations

from qtpy.QtWidgets import QApplication, QInputDialog, QMainWindow

from napari_vqad.io.dicom_index import SeveralSeriesError


def ask_series(several: SeveralSeriesError) -> str | None:
    """Ask the person for one of several series: its UID, None when they want none of them."""
    windows = (w for w in QApplication.topLevelWidgets() if isinstance(w, QMainWindow) and w.isVisible())
    dialog = QInputDialog(QApplication.activeWindow() or next(windows, None))  # a child looks like its window
    dialog.setWindowTitle("Which series?")
    dialog.setLabelText(f"{several.folder.name or several.folder} holds {len(several.series)} series:")
    dialog.setOption(QInputDialog.InputDialogOption.UseListViewForComboBoxItems)
    # Numbered, since two series may bear the same number, description and size.
    lines = {f"{place}.  Series {one.words}": one.uid for place, one in enumerate(several.series, start=1)}
    dialog.setComboBoxItems(list(lines))
    dialog.setTextValue(next(iter(lines)))  # a list begins with none chosen
    dialog.setToolTip("The series to open: its number, description and how many slices it has.")
    dialog.resize(460, 260)
    return lines[dialog.textValue()] if dialog.exec() else None
