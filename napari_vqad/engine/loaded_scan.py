"""A scan that is loaded: its slices on the model's grid, the results of the networks, and the maps made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.protocol import Arrays, Detector
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.maps import Maps
from napari_vqad.engine.phases import Phase
from napari_vqad.engine.results import ScanResults
from napari_vqad.imaging.fitness import Fitness
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.imaging.volume import Volume


class LoadedScan:
    """Everything that belongs to one scan. An explorer replaces it as a whole when another scan is loaded.

    Attributes:
        grid: the scan on the model's grid.
        volume: the scan; None if only a grid was loaded.
        fitness: whether the scan fits the model.
        results: results of the networks, by the settings that they depend on.
        maps: the maps made of the results.
        middle: the middle one of the slices with brain.
    """

    def __init__(
        self,
        bundle: Bundle,
        phases: Sequence[Phase],
        grid: Grid,
        cache_bytes: int,
        volume: Volume | None = None,
        fitness: Fitness | None = None,
    ) -> None:
        """Prepare the maps, which takes a while: see `Maps.prepare`."""
        self.grid, self.volume, self.fitness = grid, volume, fitness or Fitness()
        self.maps = Maps(grid, bundle.detector, bundle.places, bundle.evidence, bundle.template)
        self.maps.prepare()
        self.results = ScanResults(bundle, phases, grid, cache_bytes)
        self._phases, self._numbers = phases, numbers(grid)
        self._brain = np.flatnonzero(grid.mask.any((1, 2)))
        self.middle = int(self._brain[len(self._brain) // 2])

    def use(self, detector: Detector) -> None:
        """Use the same detector on another device."""
        self.results.detector = detector
        self.maps.use(detector)

    def chosen(self, settings: Settings) -> NDArray[np.bool_]:
        """Mask the slices to analyse, bool (n,): those with brain, within the range in the settings."""
        low, high = settings.slices or (-np.inf, np.inf)
        return np.isin(np.arange(len(self.grid)), self._brain) & (low <= self._numbers) & (self._numbers <= high)

    def missing(self, phase: Phase, settings: Settings) -> list[int]:
        """List the slices to analyse that lack samples of a phase."""
        return [int(i) for i in np.flatnonzero(self.chosen(settings) & ~self.results.done(phase, settings))]

    def arrays(self, settings: Settings) -> dict[str, list[Arrays]]:
        """Return all results of the networks for some settings: stage → one `Arrays` per slice."""
        found: dict[str, list[Arrays]] = {}
        for phase in self._phases:
            results, wanted = self.results.of(phase, settings), self.results.wanted(phase, settings)
            for name in phase.names:
                found[name] = [{n: a[:wanted] for n, a in arrays.items()} for arrays in results[name].arrays]
        return found

    def restore(self, saved: Mapping[str, Sequence[Arrays]], settings: Settings) -> None:
        """Add results of the networks that `arrays` returned for the same settings."""
        for phase in self._phases:
            results = self.results.of(phase, settings)
            for name in phase.names:
                for i, arrays in enumerate(saved.get(name, ())):
                    if arrays:
                        results[name].add(i, arrays)
