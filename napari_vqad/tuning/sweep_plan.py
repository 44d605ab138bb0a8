"""A sweep over one scan: its grid of settings, and the points that are done."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.scan_measures import MEASURES
from napari_vqad.evaluate.settings_grid import GridPoint, check_sweepable, grid_points, settings_key
from napari_vqad.tuning.sweep_axes import Axis, title_of

MOST_POINTS = 240
MOST_PANELS = 6


@dataclass(frozen=True)
class SweepPlan:
    """The grid of a sweep.

    Attributes:
        base: values of the settings that are not in the grid.
        axes: one to three settings: the columns, rows and panels of the heat maps.
        points: all combinations; the values of the last axis change first.
        keys: what the result of each point depends on, besides scan and bundle.
    """

    base: Settings
    axes: tuple[Axis, ...]
    points: tuple[GridPoint, ...]
    keys: tuple[str, ...]

    @classmethod
    def of(cls, explorer: Explorer, settings: Settings, axes: Sequence[Axis]) -> SweepPlan:
        """Make the plan of a sweep with these settings.

        Raises:
            InputError: two axes have the same setting, there are too many points, or a value is not allowed.
        """
        names = [axis.name for axis in axes]
        if not axes:
            raise InputError("Choose a setting for the columns.")
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"{title_of(twice[0])} is on two axes; choose another setting for one of them.")
        if (n := prod(len(axis.values) for axis in axes)) > MOST_POINTS:
            raise InputError(f"These are {n} cells; a sweep takes up to {MOST_POINTS}.")
        if len(axes) == 3 and len(axes[2].values) > MOST_PANELS:
            raise InputError(f"{title_of(names[2])} has {len(axes[2].values)} values; there are {MOST_PANELS} panels.")
        bundle = explorer.bundle
        base = bundle.coerce(settings.model_copy(update={"axis": explorer.settings.axis}))
        grid = {axis.name: axis.values for axis in axes}
        check_sweepable(bundle, base, grid)
        points = tuple(grid_points(bundle, base, grid))
        keys = tuple(settings_key(bundle, base.model_copy(update=dict(point.updates))) for point in points)
        return cls(base, tuple(axes), points, keys)

    def index(self, column: int, row: int = 0, panel: int = 0) -> int:
        """Return the index of a point from its place in the heat maps."""
        _, rows, panels = self.shape
        return (column * rows + row) * panels + panel

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of columns, rows and panels."""
        columns, rows, panels, *_ = (*(len(axis.values) for axis in self.axes), 1, 1)
        return columns, rows, panels


class DonePoints:
    """The measures of all points that are done, of several scans and bundles.

    Measures that need a label are kept by label, the others are not.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[str, Hashable, str], dict[str, float]] = {}

    def add(self, scan: str, label: Hashable, key: str, values: dict[str, float]) -> None:
        """Keep the measures of a point; `scan` is a `scan_key`, `label` identifies the label (None: there is none)."""
        for labelled in (False, True):
            part = {name: value for name, value in values.items() if MEASURES[name].labelled == labelled}
            if part:
                self._values.setdefault((scan, label if labelled else None, key), {}).update(part)

    def of(self, scan: str, label: Hashable, key: str) -> dict[str, float]:
        """Return the measures of a point that are known."""
        plain = self._values.get((scan, None, key), {})
        return plain if label is None else plain | self._values.get((scan, label, key), {})


def scan_key(explorer: Explorer) -> str:
    """Return a text that identifies the explorer's scan on the model's grid, and its bundle."""
    content, grid = hashlib.sha256(), explorer.grid
    for part in (grid.slices, grid.mask):
        content.update(np.ascontiguousarray(part).tobytes())
    if grid.measurements is not None:
        content.update(np.ascontiguousarray(grid.measurements.of(range(len(grid)))).tobytes())
    return f"{content.hexdigest()} {explorer.bundle.hash} {explorer.bundle.weights}"
