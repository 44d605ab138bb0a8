"""The list of presets above the settings."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QWidget

from napari_vqad.detectors.presets import PRESETS, title_of
from napari_vqad.settings import SharedSettings

BUNDLED = 0.008  # mL, a voxel of the bundled models; until a scan is on its model's grid


class PresetBox(QWidget):
    """Lets the user choose a preset. It shows "Custom" while the settings are those of no preset."""

    chosen = Signal(dict)  # the settings of the preset, by name

    def __init__(self) -> None:
        super().__init__()
        self._voxel_ml = BUNDLED
        self.box = QComboBox()
        self.box.setPlaceholderText("Custom")
        self.box.setMinimumWidth(120)
        for row, (title, preset) in enumerate(PRESETS.items()):
            self.box.addItem(title)
            self.box.setItemData(row, _sentence(preset.description), Qt.ItemDataRole.ToolTipRole)
        each = "\n".join(f"{title}: {_sentence(preset.description)}" for title, preset in PRESETS.items())
        self.setToolTip(f"Set pooling, score, threshold and clean-up together.\n{each}")
        label = QLabel("Preset")
        label.setFixedWidth(94)
        row_layout = QHBoxLayout(self)
        row_layout.setContentsMargins(0, 1, 0, 1)
        row_layout.setSpacing(6)
        row_layout.addWidget(label)
        row_layout.addWidget(self.box, 1)
        self.box.activated.connect(lambda _row: self._choose())

    def show_of(self, settings: SharedSettings) -> None:
        """Show the preset that these settings are; "Custom" if they are none."""
        title = title_of(settings, self._voxel_ml)
        self.box.setCurrentIndex(-1 if title is None else self.box.findText(title))

    def use_grid(self, voxel_ml: float) -> None:
        """Take the volume of a voxel of the model's grid; a preset with a smallest size in voxels is chosen again."""
        changed, self._voxel_ml = voxel_ml != self._voxel_ml, voxel_ml
        if changed and self.box.currentIndex() >= 0:
            self._choose()

    def _choose(self) -> None:
        self.chosen.emit(PRESETS[self.box.currentText()].settings(self._voxel_ml))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."
