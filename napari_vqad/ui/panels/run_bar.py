"""Start and cancel an analysis, and show its progress."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget


class RunBar(QWidget):
    """The buttons Analyse and Cancel, the progress bar and the status line; the dock connects them."""

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout()
        self.analyse = QPushButton("Analyse")
        self.analyse.setToolTip("Analyse the scan, beginning with the slice in view.")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip("Stop. Finished slices are kept.")
        self.cancel.setEnabled(False)
        row.addWidget(self.analyse, 2)
        row.addWidget(self.cancel, 1)
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setFixedHeight(5)
        self.status = QLabel("Open a T1 head, then press Analyse.")
        self.status.setWordWrap(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        column.addLayout(row)
        column.addWidget(self.progress)
        column.addWidget(self.status)
