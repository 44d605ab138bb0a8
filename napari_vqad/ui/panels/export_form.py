"""The form that asks which maps and files to export."""

from __future__ import annotations

from dataclasses import dataclass

from magicgui.widgets import CheckBox, Label
from magicgui.widgets.bases import Widget
from qtpy.QtWidgets import QWidget

from napari_vqad.engine.explorer import Explorer
from napari_vqad.export.dicom import SCORE, SEGMENTS
from napari_vqad.export.output_folder import file_of, saved_maps
from napari_vqad.io.dicom_series import Series
from napari_vqad.ui.plumbing.forms import ask

ALWAYS = "Always written: findings.csv, report.html, sheet.png and result.json."
IDENTITY = "A DICOM file contains the patient's name, ID, birth date and sex."


@dataclass(frozen=True)
class ExportOptions:
    """What the user chose for an export of the maps.

    Attributes:
        left_out: names of the maps that are not written.
        dicom: names of the DICOM files to write if the scan is a DICOM series.
        overwrite: replace the files of another scan with the same name.
    """

    left_out: frozenset[str] = frozenset()
    dicom: frozenset[str] = frozenset()
    overwrite: bool = False

    def maps_of(self, explorer: Explorer) -> list[str]:
        """The names of the maps that are written."""
        return [name for name in saved_maps(explorer.detector) if name not in self.left_out]

    def dicom_of(self, explorer: Explorer) -> list[str]:
        """The names of the DICOM files that are written; none if the scan is not a DICOM series."""
        return [name for name in (SEGMENTS, SCORE) if name in self.dicom] if from_dicom(explorer) else []


def from_dicom(explorer: Explorer) -> bool:
    """Was the scan read from a DICOM series, and is there a pixel score? Findings and score are written only then."""
    return isinstance(explorer.scan.header, Series) and explorer.detector.scored is not None


def ask_options(explorer: Explorer, before: ExportOptions, parent: QWidget) -> ExportOptions | None:
    """Ask which maps and files to export.

    Args:
        explorer: its maps are exported.
        before: the options that the form shows at first.
        parent: the form lies above the window of this widget.

    Returns:
        What the user chose; None if the user cancelled.
    """
    names, dicom = saved_maps(explorer.detector), from_dicom(explorer)
    maps = [
        _box(
            name,
            f"{explorer.maps[name].title}: {file_of(name)}",
            name not in before.left_out,
            f"Write {file_of(name)} in the space of the scan. If it is not ticked, it is also removed from an "
            "earlier export of this scan.",
        )
        for name in names
    ]
    files = [
        _box(name, f"{title}: {name}", dicom and name in before.dicom, tip, enabled=dicom)
        for name, title, tip in (
            (SEGMENTS, "Findings as DICOM SEG", f"A segment for each finding that you did not reject. {IDENTITY}"),
            (SCORE, "Pixel score as Parametric Map", f"The pixel score of each voxel. {IDENTITY}"),
        )
    ]
    overwrite = _box(
        "overwrite",
        "Replace the files of another scan with the same name",
        before.overwrite,
        "If this is off, the files of another scan are kept, and the new files are written into a folder with "
        "a number added to its name. An input file is never replaced.",
    )
    reason = IDENTITY if dicom else "Only a scan that was read from DICOM can be written as DICOM."
    widgets: list[Widget] = [_heading("Maps as NIfTI"), *maps, _heading("DICOM"), *files, Label(value=reason)]
    chosen = ask("Export maps", [*widgets, _heading("Folder"), overwrite, Label(value=ALWAYS)], parent)
    if chosen is None:
        return None
    of_others = before.left_out - set(names)  # maps that this detector does not have
    return ExportOptions(
        of_others | {name for name in names if not chosen[name]},
        frozenset(name for name in (SEGMENTS, SCORE) if chosen[name]) if dicom else before.dicom,
        chosen["overwrite"],
    )


def _box(name: str, text: str, value: bool, tip: str, enabled: bool = True) -> CheckBox:
    box = CheckBox(name=name, value=value, tooltip=tip, enabled=enabled)
    box.text = text  # magicgui replaces underscores by spaces in a text given to the constructor
    return box


def _heading(text: str) -> Label:
    return Label(value=f"<b>{text}</b>")
