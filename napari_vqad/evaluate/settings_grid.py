"""A grid of settings: every combination of the values that a user gives for a few settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.errors import InputError
from napari_vqad.settings import flag

OF_THE_SCAN = ("axis", "slices")  # which slices are analysed; a sweep compares settings on the same slices


@dataclass(frozen=True)
class GridPoint:
    """A combination of values.

    Attributes:
        given: the settings as given, such as {"lambda_p": "p60", "n_restorations": 5}.
        updates: the settings with the detector's thresholds as numbers, and those that select the method.
    """

    given: Mapping[str, Any]
    updates: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The settings as text, such as "lambda_p p60, n_restorations 5"."""
        return ", ".join(f"{name} {value}" for name, value in self.given.items()) or "as it is"


def grid_points(
    bundle: Bundle,
    base: Settings,
    grid: Mapping[str, Sequence[Any]],
    asks: Mapping[str, Any] | None = None,
    percentiles: Mapping[tuple[str, str], float] | None = None,
) -> list[GridPoint]:
    """Return all points of a grid; the values of the last setting change first.

    Args:
        bundle: the model, whose calibration gives the values of percentiles.
        base: values of the settings that are not in the grid.
        grid: setting → values; percentiles are written as "p60".
        asks: the settings that select the method; they belong to the updates of each point.
        percentiles: (setting, percentile such as "p60") → threshold, for percentiles of another population.

    Raises:
        InputError: a value is not allowed.
    """
    thresholds = {spec.setting for spec in bundle.detector.thresholds} & set(grid)
    points = []
    for values in product(*grid.values()):
        given = dict(zip(grid, values, strict=True))
        asked = settings_from(dict(given))
        updates = dict(asks or {}) | {name: getattr(asked, name) for name in given}
        for name in thresholds:
            updates[name] = (percentiles or {}).get((name, str(updates[name])), updates[name])
        resolved = bundle.resolve_own(bundle.validated(base.model_copy(update=updates)))
        updates |= {name: getattr(resolved, name) for name in thresholds}
        points.append(GridPoint(given, updates))
    return points


def sweepable(bundle: Bundle, settings: Settings) -> list[str]:
    """List the settings of the detector that change something on a scan; `settings` say which have no effect."""
    idle = bundle.detector.inactive(settings)
    own = bundle.detector.Settings.model_fields
    return [name for name in own if name not in idle and name not in OF_THE_SCAN]


def check_sweepable(bundle: Bundle, base: Settings, grid: Mapping[str, Sequence[Any]]) -> None:
    """Refuse a setting that changes nothing at any point of a grid.

    Raises:
        InputError: there is one.
    """
    points = [base.model_copy(update=dict(point.updates)) for point in grid_points(bundle, base, grid)]
    known = {name for settings in points for name in sweepable(bundle, settings)}
    for name in grid:
        if name not in known:
            raise InputError(f"{flag(name)} changes nothing of the scores of {bundle.title} with these settings.")


def settings_key(bundle: Bundle, settings: Settings) -> str:
    """Return a text that is equal for settings with the same results: thresholds as numbers, inactive ones omitted."""
    resolved = bundle.resolve_own(bundle.coerce(settings))
    names = set(bundle.detector.Settings.model_fields) - bundle.detector.inactive(resolved)
    return json.dumps(resolved.model_dump(mode="json", include=names), sort_keys=True)
