"""Computes the maps that a detector declares, slice by slice; a slice is recomputed only if a dependency changed.

The declaration (`MapSpec`) gives the dependencies of a slice: the version of its stage's results, the values of its
settings, the number of samples, and the maps that it reads.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.protocol import Arrays, Detector, MapSpec, SliceData
from napari_vqad.engine.store import StageResults
from napari_vqad.imaging.grid import Grid


@dataclass(frozen=True)
class StageInputs:
    """The results of all stages for the current settings.

    Attributes:
        results: results by stage.
        wanted: number of samples to use, by stage.
        settings: the settings, with percentiles resolved to numbers.
    """

    results: Mapping[str, StageResults]
    wanted: Mapping[str, int]
    settings: Any

    def there(self, stage: str) -> NDArray[np.bool_]:
        """Mask the slices that have all samples of a stage, bool (n,)."""
        results, wanted = self.results[stage], self.wanted[stage]
        return np.array([results.count(i) >= wanted for i in range(len(results.arrays))])


class SliceMaps:
    """The declared maps of one scan."""

    def __init__(self, detector: Detector, grid: Grid) -> None:
        self.grid = grid
        self.specs = {spec.name: spec for spec in detector.maps}
        self.detector = detector
        after = {stage.name: stage.after for stage in detector.stages}
        self._before = {name: _all_before(name, after) for name in after}
        n = len(grid)
        self._made: dict[str, list[Hashable]] = {name: [None] * n for name in self.specs}
        self._values: dict[str, list[NDArray | None]] = {name: [None] * n for name in self.specs}
        self._stacks: dict[str, NDArray] = {}

    def stack(self, name: str, inputs: StageInputs, j: int = 0) -> tuple[NDArray, list[Hashable]]:
        """Return a map (n, H, W), zero for missing slices, and everything each slice depends on (None if missing).

        The array is not a copy; the next update changes it.
        """
        if name not in self._stacks:
            self._stacks[name] = np.zeros(self.grid.slices.shape, np.float32)
        stack = self._stacks[name]
        for i in self._update(name, inputs, j):
            value = self._values[name][i]
            stack[i] = 0.0 if value is None else value
            self._values[name][i] = None  # the stack holds it
        return stack, list(self._made[name])

    def values(self, name: str, inputs: StageInputs) -> list[NDArray | None]:
        """Return an inner quantity of each slice; None for missing slices."""
        self._update(name, inputs, 0)
        return self._values[name]

    def of_slice(self, name: str, inputs: StageInputs, i: int, j: int = 0) -> NDArray | None:
        """Compute a map of one slice, (H, W); None if its results are missing."""
        if self.made_of(name, inputs, i, j) is None:
            return None
        return self._map(self.specs[name], inputs, i, j)

    def made_of(self, name: str, inputs: StageInputs, i: int, j: int = 0) -> Hashable:
        """Return everything that a slice of a map depends on; None if its results are missing."""
        spec = self.specs[name]
        results, wanted, s = inputs.results[spec.stage], inputs.wanted[spec.stage], inputs.settings
        if results.count(i) < (j + 1 if spec.indexed else wanted):
            return None
        many = None if spec.all_samples else j if spec.indexed else wanted
        settings = tuple(getattr(s, setting) for setting in spec.settings)
        return results.version[i], many, settings, tuple(self.made_of(r, inputs, i) for r in spec.reads)

    def _update(self, name: str, inputs: StageInputs, j: int) -> list[int]:
        """Compute the outdated slices, and return them."""
        spec, made = self.specs[name], self._made[name]
        now = [self.made_of(name, inputs, i, j) for i in range(len(self.grid))]
        old = [i for i, (before, after) in enumerate(zip(made, now, strict=True)) if before != after]
        for i in old:
            self._values[name][i] = None if now[i] is None else self._map(spec, inputs, i, j)
        self._made[name] = now
        return old

    def _map(self, spec: MapSpec, inputs: StageInputs, i: int, j: int) -> NDArray:
        grid = self.grid
        stages: dict[str, Arrays] = {}
        for stage in (spec.stage, *self._before[spec.stage]):
            arrays = inputs.results[stage].arrays[i]
            cut = None if spec.all_samples or spec.indexed else inputs.wanted[stage]
            stages[stage] = {name: array[:cut] for name, array in arrays.items()}
        read = {name: self._read(name, inputs, i) for name in spec.reads}
        return self.detector.map(spec.name, SliceData(grid.slices[i], grid.mask[i], stages, read, inputs.settings, j))

    def _read(self, name: str, inputs: StageInputs, i: int) -> NDArray:
        """Return another map that a map reads; inner maps are kept, since several maps read them."""
        spec, now = self.specs[name], self.made_of(name, inputs, i)
        value = self._values[name][i]
        if value is None or self._made[name][i] != now:
            value = self._map(spec, inputs, i, 0)
            if spec.role == "inner":
                self._values[name][i], self._made[name][i] = value, now
        return value


def _all_before(name: str, after: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(b for a in after[name] for b in (a, *_all_before(a, after))))
