"""The widgets of the settings, made from the fields of `Settings`: label from title, tooltip from description."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QStandardItemModel
from qtpy.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QLabel, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider, QLabeledSlider
from superqt.utils import qthrottled, signals_blocked

from napari_vqad.display.controls import NOT_SUPPORTED, control_of
from napari_vqad.display.thresholds import Tuned
from napari_vqad.ui.plumbing.style import LINK, SMALL

PAUSE = 100  # ms between two signals while a slider moves; the first and the last are always sent


class SettingWidget(QWidget):
    """The widget of one field of `Settings`."""

    edited = Signal(str, object)  # name, value

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        control = control_of(name)
        self.setToolTip(control.tip)
        self.title = QLabel(control.title)
        self.note = QLabel("")
        self.note.setObjectName("vqad-note")
        self.note.setStyleSheet(SMALL)
        self.note.setWordWrap(True)
        self.layout_ = QGridLayout(self)
        self.layout_.setContentsMargins(0, 1, 0, 1)
        self.layout_.setHorizontalSpacing(6)
        self.layout_.setVerticalSpacing(0)
        self.layout_.addWidget(self.title, 0, 0)
        self.title.setFixedWidth(94)
        self.layout_.setColumnStretch(1, 1)

    def set(self, value: Any) -> None:
        """Show a value without emitting `edited`."""
        raise NotImplementedError

    def explain(self, text: str) -> None:
        """Show below the widget what its value means; an empty text hides the line."""
        self.note.setText(text)
        self.note.setVisible(bool(text))
        if text and self.layout_.indexOf(self.note) < 0:
            self.layout_.addWidget(self.note, 1, 0, 1, 2)


class SettingSlider(SettingWidget):
    """A slider for a number, an integer if the field is one."""

    def __init__(self, name: str, low: float, high: float) -> None:
        super().__init__(name)
        self.whole = control_of(name).whole
        self.slider = (QLabeledSlider if self.whole else QLabeledDoubleSlider)(Qt.Orientation.Horizontal)
        self.slider.setRange(low, high)
        self.slider.setMinimumWidth(150)
        if not self.whole:
            self.slider.setDecimals(2)
        self.layout_.addWidget(self.slider, 0, 1)
        self._notify = qthrottled(self._turned, timeout=PAUSE, leading=True)
        self._pending = False
        self._tuned: Tuned | None = None
        self.note.setTextInteractionFlags(
            Qt.TextInteractionFlag.LinksAccessibleByMouse | Qt.TextInteractionFlag.LinksAccessibleByKeyboard
        )
        self.note.linkActivated.connect(lambda _link: self._use_tuned())
        self.slider.valueChanged.connect(self._on_moved)

    def _on_moved(self) -> None:
        self._pending = True
        self._notify()

    def _turned(self) -> None:
        self._pending = False
        self.edited.emit(self.name, self.slider.value())

    def offer(self, tuned: Tuned | None) -> None:
        """Offer the tuned value as a link behind the words below the slider, or say that it is in use."""
        self._tuned = tuned
        if tuned is None:
            self.note.setToolTip("")
            return
        link = f'<a href="tuned" style="{LINK}">&nbsp;use tuned: {tuned.value:.2f}&nbsp;</a>'
        words = "tuned" if tuned.chosen else link
        self.explain(f"{html.escape(self.note.text())} · {words}")
        self.note.setToolTip(tuned.on)

    def _use_tuned(self) -> None:
        if self._tuned is not None:
            self.edited.emit(self.name, self._tuned.value)

    def blank(self, on: bool) -> None:
        """Hide or show the number. It is unknown while the value is a healthy percentile and no model is loaded."""
        mode = QLabeledSlider.EdgeLabelMode
        self.slider.setEdgeLabelMode(mode.NoLabel if on else mode.LabelIsValue)

    def set(self, value: Any) -> None:
        """Show a value and extend the range if needed; ignored while the user moves the slider."""
        if self._pending:
            return
        self.slider.blockSignals(True)
        if value > self.slider.maximum():
            self.slider.setMaximum(value)
        self.slide(value)
        self.slider.blockSignals(False)

    def slide(self, value: float) -> None:
        """Move the slider as a user would. An integer slider needs an int: PyQt6 refuses a float."""
        self.slider.setValue(int(value) if self.whole else value)

    def span(self, low: float, high: float) -> None:
        """Set the range."""
        self.slider.blockSignals(True)
        self.slider.setRange(low, high)
        self.slider.blockSignals(False)


class SettingCombo(SettingWidget):
    """A combo box, a check box or a spin box."""

    def __init__(self, name: str, box: QComboBox | QCheckBox | QSpinBox) -> None:
        super().__init__(name)
        self.box = box
        self._set_value: Callable[[Any], Any]
        self.layout_.addWidget(box, 0, 1)
        if isinstance(box, QComboBox):
            box.setMinimumWidth(120)
            changed, self._set_value = box.currentTextChanged, box.setCurrentText
        elif isinstance(box, QCheckBox):
            changed, self._set_value = box.toggled, box.setChecked
        else:
            changed, self._set_value = box.valueChanged, box.setValue
        changed.connect(lambda value: self.edited.emit(self.name, value))

    def set(self, value: Any) -> None:
        """Show a value."""
        with signals_blocked(self.box):
            self._set_value(value)

    def offer(self, choices: tuple[str, ...]) -> None:
        """Allow only these choices; the others stay visible in the list but disabled."""
        model = self.box.model() if isinstance(self.box, QComboBox) else None
        if isinstance(model, QStandardItemModel):
            for row in range(model.rowCount()):
                item = model.item(row)
                item.setEnabled(item.text() in choices)
                item.setToolTip("" if item.isEnabled() else NOT_SUPPORTED)


class SettingRange(SettingWidget):
    """Spin boxes for the first and the last slice; the whole stack counts as no choice (None)."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        row = QHBoxLayout()
        self.first, self.last = QSpinBox(), QSpinBox()
        for box in (self.first, self.last):
            row.addWidget(box)
            box.setKeyboardTracking(False)
            box.valueChanged.connect(self._turned)
        self.layout_.addLayout(row, 0, 1)

    def _turned(self) -> None:
        chosen = (self.first.value(), max(self.first.value(), self.last.value()))
        whole = (self.first.minimum(), self.last.maximum())
        self.edited.emit(self.name, None if chosen == whole else chosen)

    def span(self, first: int, last: int) -> None:
        """Set the numbers of the first and the last slice of the stack."""
        for box in (self.first, self.last):
            box.blockSignals(True)
            box.setRange(first, last)
            box.blockSignals(False)

    def set(self, value: Any) -> None:
        """Show a range, or the whole stack for None."""
        for box, v in zip((self.first, self.last), value or (self.first.minimum(), self.last.maximum()), strict=True):
            box.blockSignals(True)
            box.setValue(v)
            box.blockSignals(False)


def make_setting_widget(name: str) -> SettingWidget:
    """Make the widget that fits the control of a setting."""
    control = control_of(name)
    if control.kind == "switch":
        return SettingCombo(name, QCheckBox())
    if control.kind == "choice":
        box = QComboBox()
        box.addItems(control.choices)
        return SettingCombo(name, box)
    if control.kind == "range":
        return SettingRange(name)
    if control.kind == "number":
        number = QSpinBox()
        number.setRange(0, 2**31 - 1)
        return SettingCombo(name, number)
    return SettingSlider(name, control.low, control.high)
