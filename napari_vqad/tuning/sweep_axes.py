"""The axes of a sweep: which settings can be swept, which values to begin with, and what a user types.

All of it follows from what the detector declares: its thresholds, the samples of its stages and the settings of its
maps.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.display.controls import control_of, used_by
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.settings_grid import sweepable

MOST_VALUES = 12  # of an axis
PERCENTILES: tuple[str, ...] = ("p80", "p90", "p95", "p98")
OF_SLICES = ("p90", "p95", "p98", "p99")
RATES = ("1/1", "1/3", "1/10")
LADDER = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


class Axis(NamedTuple):
    """A setting and its values, as given."""

    name: str
    values: tuple[Any, ...]


class TickWords(NamedTuple):
    """The words at a value of an axis: the value as given, and the same in the other unit; empty if there is none."""

    given: str
    other: str = ""


def settings_to_sweep(explorer: Explorer, settings: Settings) -> list[str]:
    """List the settings that can be an axis: the likely ones first (see `first_axes`), then the others."""
    known = [name for name in sweepable(explorer.bundle, settings) if name in used_by(explorer)]
    first = [name for name in _likely(explorer) if name in known]
    return [*first, *(name for name in known if name not in first)]


def first_axes(explorer: Explorer, settings: Settings) -> list[str]:
    """Return up to three settings for the axes, such as λ_p, S and k."""
    known = settings_to_sweep(explorer, settings)
    return [name for name in _likely(explorer) if name in known][:3]


def _likely(explorer: Explorer) -> list[str]:
    """List thresholds of the networks, numbers of samples, numbers that maps depend on, then what flags."""
    detector = explorer.detector
    of_stages = {name for stage in detector.stages for name in stage.settings}
    thresholds = [spec.setting for spec in detector.thresholds]
    samples = [stage.samples for stage in detector.stages if stage.samples]
    of_maps = [name for spec in detector.maps for name in spec.settings if control_of(name).kind == "slider"]
    flags = ["flag_voxels", "min_volume_ml"] if detector.scored is not None else []
    networks = [name for name in thresholds if name in of_stages]
    return list(dict.fromkeys([*networks, *samples, *of_maps, *flags, "flag_slices", *thresholds]))


def first_values(explorer: Explorer, settings: Settings, name: str) -> str:
    """Return values around the present one, as a user would type them: "p80 p90 p95 p98"."""
    value, control = getattr(settings, name), control_of(name)
    if control.kind == "switch":
        return "false true"
    if control.kind == "choice":
        return " ".join(explorer.bundle.choices.get(name, control.choices))
    if _is_threshold(explorer, name):
        standard = {"flag_slices": OF_SLICES, "flag_voxels": RATES}.get(name, PERCENTILES)
        if isinstance(value, str) and value[0] == standard[0][0]:
            return " ".join(sorted({*standard, value}, key=_size))
        return " ".join([*standard, value if isinstance(value, str) else f"{value:.3g}"])
    if control.whole:
        low = int(control.low) if control.kind == "slider" else 0
        found = {max(low, 1), max(low, round(value / 3)), value} if control.kind == "slider" else {value, value + 1}
        return " ".join(map(str, sorted(found)))
    lower = [step for step in LADDER if step < value]
    higher = [step for step in LADDER if step > value]
    near = {*lower[-1:], value, *(higher[:1] if value else (1.0, 3.0))}
    return " ".join(f"{step:g}" for step in sorted(near) if control.low <= step <= control.high)


def parse_values(name: str, text: str) -> tuple[Any, ...]:
    """Read the values that a user typed, separated by blanks or commas; equal ones count once.

    Raises:
        InputError: there is none, there are too many, or one is not allowed.
    """
    title = title_of(name)
    found: dict[Any, None] = {}
    for word in re.split(r"[\s,;]+", text.strip()):
        if not word:
            raise InputError(f"Type one or more values of {title}, separated by blanks.")
        try:
            value = getattr(settings_from({name: word}), name)
        except InputError as error:
            why = str(error).partition("fit: ")[2].rstrip(".")
            raise InputError(f"'{word}' is no value of {title}: {why}.") from error
        found[value] = None
    if len(found) > MOST_VALUES:
        raise InputError(f"{title} has {len(found)} values; an axis takes up to {MOST_VALUES}.")
    return tuple(found)


def title_of(name: str) -> str:
    """Return the name of a setting as its slider shows it, such as "λ_p (pixel)"."""
    return control_of(name).title


def unit_words(explorer: Explorer, name: str) -> str:
    """Return the unit of a setting for the title of an axis; empty without one."""
    units = {spec.setting: spec.unit for spec in explorer.detector.thresholds}
    if name in units:
        return f"{units[name]}; p: percentile of healthy values"
    field = Settings.model_fields[name]
    unit = str((field.json_schema_extra or {}).get("unit", "")) if isinstance(field.json_schema_extra, dict) else ""
    return "" if unit and f"({unit})" in title_of(name) else unit


def tick_words(explorer: Explorer, settings: Settings, name: str, value: Any) -> TickWords:
    """Return the words at a value of an axis: "p90" and "1.94", or "2.5" and "p93"."""
    words = str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
    if not _is_threshold(explorer, name):
        return TickWords(words)
    bundle = explorer.bundle
    changed = bundle.coerce(settings.model_copy(update={name: value}))
    number = bundle.thresholds(changed)[name]
    if isinstance(value, str):
        return TickWords(words, f"{number:.2f}")
    specs = {spec.setting: spec for spec in explorer.detector.thresholds}
    if name in specs:
        return TickWords(words, f"p{bundle.calibration.percentile(specs[name].table, number):.1f}")
    return TickWords(words)


def _is_threshold(explorer: Explorer, name: str) -> bool:
    return name in {"flag_slices", "flag_voxels"} | {spec.setting for spec in explorer.detector.thresholds}


def _size(threshold: str) -> float:
    """Return a number that orders percentiles, and rates by their scans."""
    return float(threshold.removeprefix("1/") if "/" in threshold else threshold[1:])
