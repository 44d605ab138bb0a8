"""The widgets of all settings, in sections that open and close."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_vqad.display.controls import OPEN_AT_FIRST, TITLES, names_of
from napari_vqad.ui.panels.preset_box import PresetBox
from napari_vqad.ui.panels.setting_widgets import (
    SettingCombo,
    SettingRange,
    SettingSlider,
    SettingWidget,
    make_setting_widget,
)


class SettingsPanel(QWidget):
    """The list of presets, then one widget for each setting, in the section that the setting's field names."""

    edited = Signal(str, object)  # name, value

    def __init__(self) -> None:
        super().__init__()
        self.widgets: dict[str, SettingWidget] = {}
        self.all: list[QCollapsible] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        self.preset = PresetBox()
        column.addWidget(self.preset)
        for title in TITLES:
            section = QCollapsible(title)
            if (layout := section.layout()) is not None:
                layout.setContentsMargins(0, 0, 0, 0)
            section.setDuration(0)
            for name in names_of(title):
                widget = self.widgets[name] = make_setting_widget(name)
                widget.edited.connect(self.edited)
                section.addWidget(widget)
            if title in OPEN_AT_FIRST:
                section.expand(animate=False)
            self.all.append(section)
            column.addWidget(section)

    def slider(self, name: str) -> SettingSlider:
        """The slider of a setting that is a number."""
        widget = self.widgets[name]
        assert isinstance(widget, SettingSlider)
        return widget

    def choice(self, name: str) -> SettingCombo:
        """The widget of a setting that is a choice, a switch or a number to type."""
        widget = self.widgets[name]
        assert isinstance(widget, SettingCombo)
        return widget

    def range(self, name: str) -> SettingRange:
        """The widget of a setting that is a range of slices."""
        widget = self.widgets[name]
        assert isinstance(widget, SettingRange)
        return widget
