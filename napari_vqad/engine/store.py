"""Stores the stages' results within a memory budget; results that are quick to rebuild are dropped first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.protocol import Arrays, Stage
from napari_vqad.engine.provenance import ComputedWith

CACHE_BYTES = 512 * 2**20  # default memory budget for a scan's results
_versions = count(1)


class Key(NamedTuple):
    """Key of a phase's results: the phase, and the settings that change its results, with thresholds as numbers."""

    phase: str
    settings: tuple[tuple[str, Any], ...]

    def but(self, setting: str) -> Key:
        """Return the key without one of the settings."""
        return Key(self.phase, tuple(pair for pair in self.settings if pair[0] != setting))

    def value(self, setting: str) -> Any:
        """Return the value of a setting; None if the results do not depend on it."""
        return dict(self.settings).get(setting)


class StageArrays(NamedTuple):
    """All results of the networks for a scan and one choice of settings, for saving and resuming.

    Attributes:
        results: stage → one `Arrays` per slice; empty if the stage is not done.
        made: device and versions that computed the arrays; more than one if the analysis was continued on another
            machine.
    """

    results: Mapping[str, list[Arrays]]
    made: tuple[ComputedWith, ...]


class StageResults:
    """The results of one stage, slice by slice.

    Attributes:
        arrays: arrays of each slice, by name; the first axis is the sample.
        version: a number for each slice; it changes with the slice's arrays and is never reused, so that outdated maps
            can be detected.
    """

    def __init__(self, n_slices: int) -> None:
        self.arrays: list[Arrays] = [{} for _ in range(n_slices)]
        self.version = [0] * n_slices

    def count(self, index: int) -> int:
        """Return the number of samples of a slice."""
        return next((len(array) for array in self.arrays[index].values()), 0)

    def add(self, index: int, new: Arrays) -> None:
        """Append samples of a slice."""
        known = self.arrays[index]
        self.arrays[index] = {n: np.concatenate([known[n], a]) if n in known else a for n, a in new.items()}
        self.version[index] = next(_versions)

    def take(self, index: int, other: StageResults) -> None:
        """Copy a slice with the same results, and its version, so that maps computed from it remain valid."""
        self.arrays[index], self.version[index] = other.arrays[index], other.version[index]

    def stacked(self, name: str, j: int) -> NDArray:
        """Return sample j of each slice, (n, …); zero where missing."""
        first = next((arrays[name][0] for arrays in self.arrays if name in arrays), np.zeros((0, 0), np.float32))
        found = np.zeros((len(self.arrays), *first.shape), first.dtype)
        for i, arrays in enumerate(self.arrays):
            if name in arrays and len(arrays[name]) > j:
                found[i] = arrays[name][j]
        return found

    def clear(self) -> None:
        """Drop all arrays; versions are kept."""
        self.arrays = [{} for _ in self.arrays]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(array.nbytes for arrays in self.arrays for array in arrays.values())


class PhaseResults(dict[str, StageResults]):
    """The results of a phase's stages for one choice of settings."""

    def __init__(self, stages: Iterable[Stage], n_slices: int, settings: Any) -> None:
        stages = tuple(stages)
        super().__init__({stage.name: StageResults(n_slices) for stage in stages})
        self.settings = settings
        self._rebuildable = tuple(stage.name for stage in stages if stage.rebuildable)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(results.nbytes for results in self.values())

    def drop_rebuildable(self) -> None:
        """Keep only results that are slow to rebuild."""
        for name in self._rebuildable:
            self[name].clear()


class ByteBudget:
    """Keeps the most recently used results that fit into `n_bytes`; results in use are always kept.

    Rebuildable results are dropped first, the least recently used before newer ones; others only if that is not enough.
    """

    def __init__(self, n_bytes: int) -> None:
        self.n_bytes = n_bytes
        self._results: OrderedDict[Key, PhaseResults] = OrderedDict()

    def get(self, key: Key) -> PhaseResults | None:
        """Return the results of a key, or None, and mark them as the most recently used."""
        if key in self._results:
            self._results.move_to_end(key)
        return self._results.get(key)

    def put(self, key: Key, value: PhaseResults, in_use: Collection[Key] = ()) -> None:
        """Store new results."""
        self._results[key] = value
        self._results.move_to_end(key)
        self.trim(in_use)

    def others(self, key: Key) -> list[PhaseResults]:
        """List the results of the same phase for other settings, the most recently used first."""
        return [self._results[k] for k in reversed(self._results) if k.phase == key.phase and k != key]

    def near(self, key: Key, setting: str) -> list[tuple[float, PhaseResults]]:
        """List (value, results) at other values of one setting, all others being equal; the nearest value first."""
        mine, rest = key.value(setting), key.but(setting)
        if not isinstance(mine, int | float):
            return []
        near = [k for k in self._results if k != key and k.but(setting) == rest and k.value(setting) is not None]
        return [(k.value(setting), self._results[k]) for k in sorted(near, key=lambda k: abs(k.value(setting) - mine))]

    def trim(self, in_use: Collection[Key] = ()) -> None:
        """Drop results beyond the budget."""
        free = [key for key in list(self._results)[:-1] if key not in in_use]
        for key in free:
            if self.nbytes <= self.n_bytes:
                return
            self._results[key].drop_rebuildable()
        for key in free:
            if self.nbytes <= self.n_bytes:
                return
            del self._results[key]

    @property
    def nbytes(self) -> int:
        """Bytes held; shared arrays count more than once."""
        return sum(results.nbytes for results in self._results.values())

    def clear(self) -> None:
        """Drop all results."""
        self._results.clear()
