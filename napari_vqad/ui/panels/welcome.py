"""What the dock shows while no scan is open, and the stops of the tour."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

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
            "<b>No scan is open.</b> Try the sample, a simulated T1 head with lesions, or open a T1 head of yours."
        )
        words.setWordWrap(True)
        row = QHBoxLayout()
        for text, tip, act in (
            (
                "Sample head",
                "Open the sample head and analyse it: everything in place, in a minute or so.",
                self.sample.emit,
            ),
            ("File …", "Open a NIfTI file, or one file of a DICOM series.", self._ask),
            ("Tour", "What everything here is for, in a minute.", self.tour.emit),
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
        "What is analysed",
        "A T1 head, a brain mask (computed automatically if you give none) and a model of healthy heads.",
    ),
    "analyse": (
        "Analyse",
        "NLL and restorations of every slice, the slice in view first. Cancel keeps what is done.",
    ),
    "views_row": (
        "One question at a time",
        "<b>NLL</b>: how unlikely is each code? <b>Restoration</b>: what would be healthy? <b>Residual</b>: what "
        "differs? <b>Score</b>: all of it, pooled. <b>Flagged</b>: the outline of what is above the threshold.",
    ),
    "legend": (
        "The scale",
        "It is the same for every scan. Left of the mark lie 99\u00a0% of healthy values.",
    ),
    "profile": (
        "Slices",
        "A bar for each slice; orange ones are flagged. Click to go there, or press . and , for the next and the "
        "previous one.",
    ),
    "findings": (
        "Findings",
        "What is flagged, piece by piece: N goes to the next, A accepts, X rejects. Beside it flagged slices by rank, "
        "and the restorations of the slice.",
    ),
    "Thresholds": (
        "Thresholds",
        "Move them and watch. Each says its value, its unit, and which part of healthy codes, slices or voxels lies "
        "below it.",
    ),
    "Restoration": (
        "Restoration",
        "How unlikely codes are resampled, how many times (S), and how the restorations are weighted (k).",
    ),
    "notice": (
        "Limits",
        "Research use only, not a medical device. What is rare in healthy heads is flagged; that is no diagnosis.",
    ),
}


def stops_of(dock: QWidget, sections: SettingsPanel) -> list[Stop]:
    """The stops of the tour, with the widgets of the dock. Hidden widgets are left out."""
    widgets: dict[str, QWidget] = {section.text(): section for section in sections.all}
    widgets |= {name: getattr(dock, name) for name in STOPS if name not in widgets}
    return [Stop(widgets[name], *words) for name, words in STOPS.items() if widgets[name].isVisibleTo(dock)]
