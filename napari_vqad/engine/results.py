"""The results of a detector's stages for one scan, for the current and for earlier settings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.protocol import Arrays, Job
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.engine.phases import Phase
from napari_vqad.engine.slice_maps import StageInputs
from napari_vqad.engine.store import ByteBudget, Key, PhaseResults
from napari_vqad.imaging.grid import Grid


class ScanResults:
    """All results of the networks for a scan, by the settings that they depend on."""

    def __init__(self, bundle: Bundle, phases: Sequence[Phase], grid: Grid, cache_bytes: int) -> None:
        self.detector = bundle.detector
        self._resolve, self._phases, self._grid, self._n = bundle.resolve_own, phases, grid, len(grid)
        self._dependencies = Dependencies(bundle.detector)
        self._budget = ByteBudget(cache_bytes)

    def key(self, phase: Phase, settings: Settings) -> Key:
        """Return the settings that a phase's results depend on: percentiles as numbers, inactive settings omitted."""
        resolved = self._resolve(settings)
        names = phase.settings - self.detector.inactive(resolved)
        return Key(phase.name, tuple((name, getattr(resolved, name)) for name in sorted(names)))

    def wanted(self, phase: Phase, settings: Settings) -> int:
        """Return the number of samples that a slice needs."""
        one = phase.samples is None or phase.samples in self.detector.inactive(settings)
        return 1 if one or phase.samples is None else getattr(settings, phase.samples)

    def of(self, phase: Phase, settings: Settings) -> PhaseResults:
        """Return the results of a phase for some settings; empty ones are created if there are none."""
        if (kept := self._budget.get(key := self.key(phase, settings))) is None:
            kept = PhaseResults(phase.stages, self._n, self._resolve(settings))
            self._budget.put(key, kept, self._keys(settings))
        return kept

    def inputs(self, settings: Settings) -> StageInputs:
        """Return the results of all stages for some settings."""
        by_phase = [(phase, self.of(phase, settings), self.wanted(phase, settings)) for phase in self._phases]
        results = {name: kept[name] for phase, kept, _ in by_phase for name in phase.names}
        wanted = {name: n for phase, _, n in by_phase for name in phase.names}
        return StageInputs(results, wanted, self._resolve(settings))

    def before(self, stage: str, indices: Sequence[int], settings: Settings) -> dict[str, list[Arrays]]:
        """Return the results of all earlier stages for some slices."""
        results = self.inputs(settings).results
        return {name: [results[name].arrays[i] for i in indices] for name in self._dependencies.before(stage)}

    def take_over(self, phase: Phase, missing: Sequence[int], settings: Settings) -> list[int]:
        """Reuse results of earlier settings for slices where they are certainly the same; return these slices."""
        now = self._resolve(settings)
        wanted, mine = self.wanted(phase, settings), self.of(phase, settings)
        stages, taken = [stage.name for stage in phase.stages if stage.settings], []
        for other in self._budget.others(self.key(phase, settings)):
            for i in missing:
                if not other[phase.name].count(i) >= wanted > mine[phase.name].count(i):
                    continue
                done = {name: arrays[0] for name, arrays in self.before(phase.names[0], [i], settings).items()}
                if stages and all(self.detector.same(name, done, other.settings, now) for name in stages):
                    for name in phase.names:
                        mine[name].take(i, other[name])
                    taken.append(i)
        return taken

    def next_lot(
        self, phase: Phase, missing: Sequence[int], settings: Settings, focus: int, at_once: int, times: int = 1
    ) -> list[int]:
        """Choose the next slices to run, nearest to the focus first.

        With samples, or where the phase declares it, the slice in focus runs alone. A phase's own limit is that of a
        CPU; the device takes `times` as many.
        """
        nearest = sorted(missing, key=lambda i: abs(i - focus))
        at_once = min((phase.at_once or at_once) * times, at_once)
        alone = nearest[0] == focus and (phase.samples is not None or phase.focus_alone)
        if phase.samples is None:
            return nearest[: 1 if alone else at_once]
        results, wanted = self.of(phase, settings), self.wanted(phase, settings)

        def have(i: int) -> tuple[int, ...]:
            return tuple(results[name].count(i) for name in phase.names)

        alike = [i for i in nearest if have(i) == have(nearest[0])]
        lacking = wanted - results[phase.name].count(nearest[0])
        return alike[: 1 if alone else max(1, at_once // max(1, lacking))]

    def job(self, phase: Phase, stage: str, indices: list[int], samples: range, settings: Settings) -> Job:
        """Make the job of a detector's stage for some slices."""
        grid, key = self._grid, self.key(phase, settings)
        near_by = {setting: self._budget.near(key, setting) for setting, _ in key.settings}

        def near(row: int, setting: str) -> list[tuple[float, Arrays]]:
            return [(value, other[stage].arrays[indices[row]]) for value, other in near_by.get(setting, [])]

        return Job(
            slices=grid.slices[indices],
            mask=grid.mask[indices],
            position=grid.position[indices],
            indices=indices,
            samples=samples,
            settings=self._resolve(settings),
            done=self.before(stage, indices, settings),
            near=near,
            measurements=None if grid.measurements is None else grid.measurements.of(indices),
        )

    def done(self, phase: Phase, settings: Settings) -> np.ndarray:
        """Mask the slices that have all samples of a phase, bool (n,)."""
        results, wanted = self.of(phase, settings)[phase.name], self.wanted(phase, settings)
        return np.array([results.count(i) >= wanted for i in range(self._n)])

    def trim(self, settings: Settings) -> None:
        """Drop results beyond the memory budget; those of these settings are kept."""
        self._budget.trim(self._keys(settings))

    def _keys(self, settings: Settings) -> list[Key]:
        return [self.key(phase, settings) for phase in self._phases]
