"""The control of each setting, independent of a toolkit: which kind, its bounds, and what it shows just now.

Labels, tooltips and bounds come from the fields of `Settings`.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args, get_origin

from napari_vqad.detectors.settings import Settings
from napari_vqad.display.thresholds import Tuned, before, explain
from napari_vqad.engine.explorer import Explorer
from napari_vqad.settings import SharedSettings, section_of

TITLES = ("Thresholds", "Findings", "Restoration", "More")  # of the sections
OPEN_AT_FIRST = ("Thresholds", "Restoration")
NOT_SUPPORTED = "This model does not support this choice."


class Control(NamedTuple):
    """The control of a setting.

    Attributes:
        title, tip: label and tooltip.
        kind: "switch" for a bool, "choice" among `choices`, "range" of slices, "number" to type, or "slider".
        whole: is the number an integer?
        low, high: bounds of a slider; the model sets those of a threshold.
    """

    title: str
    tip: str
    kind: Literal["switch", "choice", "range", "number", "slider"]
    whole: bool = False
    low: float = 0.0
    high: float = 10.0
    choices: tuple[str, ...] = ()


class ControlState(NamedTuple):
    """What a control shows.

    Attributes:
        value: the value; a threshold that is a healthy percentile is a number here.
        enabled: False if the setting changes nothing just now.
        blank: the number is not known, because no model is loaded.
        words: what the value means.
        highest: the upper bound of a threshold's slider; None if it does not depend on the model.
        tuned: the tuned value, if the model has one.
    """

    value: Any
    enabled: bool = True
    blank: bool = False
    words: str = ""
    highest: float | None = None
    tuned: Tuned | None = None


def names_of(section: str) -> list[str]:
    """The names of the settings of a section: those of detectors, then those that all detectors share."""
    fields, shared = Settings.model_fields, SharedSettings.model_fields
    own = [n for n in fields if n not in shared]
    return [n for n in (*own, *shared) if section_of(n, fields) == section]


def control_of(name: str) -> Control:
    """The control that fits the type and bounds of a setting's field."""
    field = Settings.model_fields[name]
    title, tip, whole = str(field.title), str(field.description), field.annotation is int
    if field.annotation is bool:
        return Control(title, tip, "switch")
    if get_origin(field.annotation) is Literal:
        return Control(title, tip, "choice", choices=get_args(field.annotation))
    if name == "slices":
        return Control(title, tip, "range", whole=True)
    bounds = {type(m).__name__: m for m in field.metadata}
    if "Le" in bounds:
        return Control(title, tip, "slider", whole, bounds["Ge"].ge, bounds["Le"].le)
    return Control(title, tip, "number" if whole else "slider", whole)


def used_by(explorer: Explorer) -> set[str]:
    """The settings that the explorer's detector and scan have; a clip has one axis and no brain."""
    own, head = set(explorer.detector.Settings.model_fields), explorer.grid.kind == "head"
    return own if head else own - {"axis", *names_of("Findings")}


def states_of(explorer: Explorer | None, detector: Any, settings: Settings) -> dict[str, ControlState]:
    """What each control shows, by the name of its setting.

    Args:
        explorer: holds a scan; None if there is none. It may get these settings later.
        detector: the detector, or its class while there is no explorer.
        settings: the settings to show.
    """
    inactive = detector.inactive(settings)
    states = {n: ControlState(getattr(settings, n), n not in inactive) for n in Settings.model_fields}
    limits = {} if explorer is None else explorer.bundle.thresholds(settings)
    explained = None if explorer is None else explain(explorer, settings, limits)
    for name in names_of("Thresholds"):
        value = getattr(settings, name)
        if explained is not None and name in limits:
            words, highest, tuned = explained.words[name], explained.highest.get(name), explained.tuned.get(name)
            states[name] = ControlState(limits[name], name not in inactive, False, words, highest, tuned)
        elif words := before(name, value):
            states[name] = ControlState(value, False, True, words)
    return states


def samples_of(detector: Any, settings: Settings) -> int:
    """The number of restorations that can be shown one by one."""
    used = {stage.samples for stage in detector.stages if stage.samples} - detector.inactive(settings)
    return max((getattr(settings, name) for name in used), default=1)
