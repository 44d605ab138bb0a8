"""What the dock shows while no scan is open, and the stops of the tour."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_vqad.display.notice import NOTICE
from napari_vqad.ui.panels.settings_panel import SettingsPanel
from napari_vqad.ui.panels.tour import Stop

SAMPLE = ("napari-vqad", "lesions")


class Welcome(QFrame):
    """Offers the sample, a file dialog and the tour while no scan is open."""

    sample = Signal()  # the user wants the sample head
    file = Signal(str)  # the path of a scan that the user wants to open
    tour = Signal()  # the user wants the tour

    def __init__(self) -> None:
        super().__init__()
        words = QLabel(
            "<b>No scan is open.</b> Try the sample, a simulated T1 head with lesions, or open your own T1 scan."
        )
        words.setWordWrap(True)
        row = QHBoxLayout()
        for text, tip, act in (
            (
                "Sample head",
                "Open the sample head and analyse it. This takes about a minute.",
                self.sample.emit,
            ),
            ("File …", "Open a NIfTI file, or one file of a DICOM series.", self._ask),
            ("Tour", "Show what each part of this panel does. It takes a minute.", self.tour.emit),
        ):
            button = QPushButton(text)
            button.setToolTip(tip)
            button.clicked.connect(act)
            row.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 0, 2)
        column.addWidget(words)
        column.addLayout(row)

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Open a T1 head", "", "Scans (*.nii *.nii.gz *.dcm *.dicom *.ima);;All files (*)"
        )
        if path:
            self.file.emit(path)


# A widget's name in the dock, or a section's title → the title and text of its note.
STOPS = {
    "inputs": (
        "Inputs",
        "Choose a T1 head, a brain mask (computed automatically if you choose none) and a model of healthy heads.",
    ),
    "analyse": (
        "Analyse",
        "Compute the NLL and the restorations of every slice, beginning with the slice in view. Cancel keeps finished "
        "slices.",
    ),
    "views_row": (
        "Views",
        "<b>NLL</b>: how unlikely is each part of the scan? <b>Restoration</b>: what would a healthy scan look like "
        "here? <b>Residual</b>: how far do scan and restoration differ? <b>Score</b>: how abnormal is each voxel? "
        "<b>Flagged</b>: the outline of the voxels above the threshold.",
    ),
    "legend": (
        "The scale",
        "The scale is the same for every scan. 99\u00a0% of healthy values lie left of the mark.",
    ),
    "profile": (
        "Slices",
        "Each bar is a slice; flagged slices are orange. Click a bar to go to its slice. Press . and , to go to the "
        "next and the previous flagged slice.",
    ),
    "findings": (
        "Findings",
        "List the findings: N goes to the next one, A accepts it, X rejects it. Other tabs list the flagged slices by "
        "rank and show the restorations of the slice in view.",
    ),
    "Thresholds": (
        "Thresholds",
        "Move a slider and watch the picture. Each slider shows its value, its unit, and the percentage of healthy "
        "codes, slices or voxels below it.",
    ),
    "Restoration": (
        "Restoration",
        "Choose how the unlikely parts of a slice are restored, how many restorations are drawn (S), and how these are "
        "weighted (k).",
    ),
    "notice": (
        "Limits",
        f"{NOTICE} The model flags what is rare in healthy heads. That is not a diagnosis.",
    ),
}


def stops_of(dock: QWidget, sections: SettingsPanel) -> list[Stop]:
    """The stops of the tour, with the widgets of the dock. Hidden widgets are left out."""
    widgets: dict[str, QWidget] = {section.text(): section for section in sections.all}
    widgets |= {name: getattr(dock, name) for name in STOPS if name not in widgets}
    return [Stop(widgets[name], *words) for name, words in STOPS.items() if widgets[name].isVisibleTo(dock)]
