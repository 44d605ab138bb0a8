"""The controls of the settings, made from `display.controls`: labels, tooltips, bounds and words are the dock's."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as w

from napari_vqad.detectors.settings import Settings
from napari_vqad.display.controls import OPEN_AT_FIRST, TITLES, ControlState, control_of, names_of

LABEL = "88px"  # the width of labels
STEPS = 100  # of a slider, between its ends
FULL = w.Layout(width="100%", margin="0")
OnEdited = Callable[[str, Any], None]


class SettingControl:
    """The control of one setting, and a line below it that says what its value means."""

    def __init__(self, name: str, edited: OnEdited) -> None:
        self.name, self._control = name, control_of(name)
        self._edited, self._showing, self._tuned = edited, False, 0.0
        self.widget = self._make()
        self.note = w.HTML(layout=w.Layout(margin="-6px 0 0 0", display="none"))
        self.use = w.Button(layout=w.Layout(display="none", width="auto", height="20px"))
        self.use.on_click(lambda _button: self._edited(self.name, self._tuned))
        self.box = w.VBox([self.widget, self.note, self.use], layout=w.Layout(width="100%", overflow="hidden"))
        self.widget.observe(self._on_value, names="value")

    def _make(self) -> Any:
        control = self._control
        look = {"description": control.title, "tooltip": control.tip, "layout": FULL}
        look |= {"style": {"description_width": LABEL}}
        if control.kind == "switch":
            return w.Checkbox(indent=True, **look)
        if control.kind == "choice":
            return w.Dropdown(options=control.choices, **look)
        if control.kind == "range":
            return w.IntRangeSlider(continuous_update=False, **look)
        if control.kind == "number":
            return w.BoundedIntText(min=0, max=2**31 - 1, **look)
        if control.whole:
            return w.IntSlider(min=int(control.low), max=int(control.high), **look)
        return w.FloatSlider(min=control.low, max=control.high, step=_step(control.high - control.low), **look)

    def _on_value(self, change: dict) -> None:
        if self._showing:
            return
        value = change["new"]
        if self._control.kind == "range":
            value = None if tuple(value) == (self.widget.min, self.widget.max) else tuple(value)
        self._edited(self.name, value)

    def span(self, first: int, last: int) -> None:
        """Set the numbers of the first and the last slice that can be chosen."""
        self._showing = True
        self.widget.max = max(last, self.widget.max)
        self.widget.min, self.widget.max = first, last
        self._showing = False

    def offer(self, choices: tuple[str, ...]) -> None:
        """Offer only the choices that the model supports."""
        kept, self._showing = self.widget.value, True
        self.widget.options = [choice for choice in self._control.choices if choice in choices]
        if kept in choices:
            self.widget.value = kept
        self._showing = False

    def show(self, state: ControlState) -> None:
        """Show a value and its words, without calling back."""
        self._showing = True
        try:
            self._show(state)
        finally:
            self._showing = False

    def _show(self, state: ControlState) -> None:
        widget = self.widget
        widget.disabled = not state.enabled
        if self._control.kind == "slider":
            widget.readout = not state.blank
            if state.highest is not None and state.highest != widget.max:
                widget.max, widget.step = max(state.highest, 1e-6), _step(state.highest)
        if not state.blank:
            value = (widget.min, widget.max) if self._control.kind == "range" and not state.value else state.value
            if self._control.kind == "slider" and value > widget.max:
                widget.max = value
            if widget.value != value:
                widget.value = value
        words = f'<div class="vqad-note" style="padding-left:{LABEL}">{html.escape(state.words)}</div>'
        self.note.value = words if state.words else ""
        self.note.layout.display = None if state.words else "none"
        tuned = state.tuned
        self.use.layout.display = None if tuned and not tuned.chosen else "none"
        if tuned:
            self._tuned, self.use.description, self.use.tooltip = tuned.value, f"use tuned: {tuned.value:.2f}", tuned.on


class SettingsPanel:
    """All controls, in the sections of the dock; a section opens with a click on its title."""

    def __init__(self, edited: OnEdited) -> None:
        self.controls = {name: SettingControl(name, edited) for name in Settings.model_fields}
        sections = []
        for title in TITLES:
            column = w.VBox([self.controls[name].box for name in names_of(title)], layout=w.Layout(width="100%"))
            section = w.Accordion([column], titles=(title,), selected_index=0 if title in OPEN_AT_FIRST else None)
            section.layout = w.Layout(width="100%", margin="0")
            sections.append(section)
        self.box = w.VBox(sections, layout=w.Layout(width="100%", overflow="hidden auto"))

    def show(self, states: Mapping[str, ControlState]) -> None:
        """Show what each control shows."""
        for name, state in states.items():
            self.controls[name].show(state)

    def keep(self, used: set[str]) -> None:
        """Show the controls of these settings, and hide the others."""
        for name, control in self.controls.items():
            control.box.layout.display = None if name in used else "none"


def _step(span: float) -> float:
    """A round step that divides a span into about `STEPS`."""
    step = 10.0 ** int(f"{span / STEPS:e}".partition("e")[2])
    return max(step, 0.01)
