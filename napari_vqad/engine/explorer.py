"""Analyses one scan with one bundle: runs the detector's stages, keeps their results, and computes maps.

    scan, mask → grid → stages of the detector (networks; slice by slice) → maps (arithmetic)

The stages run in `Explorer.work`, a generator for a worker thread, starting with the slice in view. Maps are computed
from the kept results on request (`engine.maps`). The detector declares its stages and maps, and their dependencies
(`detectors.protocol`); this module is independent of any particular detector.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from psygnal import Signal

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.protocol import Arrays, MapSpec
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.dependencies import Dependencies, TailSpec
from napari_vqad.engine.loaded_scan import LoadedScan
from napari_vqad.engine.maps import MapInputs, SliceRestorations
from napari_vqad.engine.phases import Phase, phases_of
from napari_vqad.engine.pooled import final
from napari_vqad.engine.progress import Progress, StaleWorkError
from napari_vqad.engine.provenance import ComputedWith, appended, current
from napari_vqad.engine.store import CACHE_BYTES, StageArrays
from napari_vqad.errors import InputError
from napari_vqad.imaging.fitness import Fitness, assess, check_extent
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.layout import to_grid, with_measurements
from napari_vqad.imaging.volume import Volume
from napari_vqad.nets.device import at_once, times_of_cpu


class Explorer:
    """Analysis of one scan with one bundle, updated when settings change.

    `work` runs in one worker thread at a time; all other methods but `finish` are quick and run in the caller's thread.
    """

    changed = Signal(set)  # names of maps with new content

    def __init__(self, bundle: Bundle, settings: Settings | None = None, cache_bytes: int = CACHE_BYTES) -> None:
        self.bundle = bundle
        self.detector = bundle.detector
        self.phases = phases_of(bundle.detector.stages)
        self._dependencies = Dependencies(bundle.detector)
        self.settings = bundle.validated(settings or Settings())
        self.focus = 0
        self.seconds: dict[str, float] = {}
        self.computed_with: tuple[ComputedWith, ...] = ()
        self.note = ""  # remark on the device for the user, shown with the progress
        self.restoring: tuple[int, ...] = ()  # slices in progress, of a phase with several samples
        self._at_once = at_once(bundle.device)
        self._loaded: LoadedScan | None = None
        self._cache_bytes = cache_bytes
        self._generation = 0
        self._lock = threading.RLock()

    # ---- user actions -----------------------------------------------------------------------------------------------

    def load_scan(self, volume: Volume, mask: np.ndarray) -> Grid:
        """Load a scan with its mask, bool (R, A, S) on its voxels. All results of the previous scan are dropped.

        Raises:
            InputError: as in `check_extent` and `to_grid`.
        """
        started = time.monotonic()
        if volume.kind == "head" and self.bundle.config.grid.measurements is None:  # crops of diffusion scans are fine
            check_extent(volume)
        grid = to_grid(volume, mask, self.bundle.config.grid, self.settings.axis, self.bundle.template)
        self._load(grid, volume, assess(volume, mask, grid, self.bundle.template))
        self.seconds["grid"] = time.monotonic() - started
        return grid

    def load_grid(self, grid: Grid) -> None:
        """Load a scan that is already on the model's grid."""
        self._load(grid)

    def _load(self, grid: Grid, volume: Volume | None = None, fitness: Fitness | None = None) -> None:
        loaded = LoadedScan(self.bundle, self.phases, grid, self._cache_bytes, volume, fitness)
        with self._lock:
            self._generation += 1
            self._loaded, self.focus = loaded, loaded.middle
            self.seconds, self.computed_with = {}, (current(self.bundle.device),)  # the grid was made in this process
        self.changed.emit(set(self.maps))

    def resume(self, volume: Volume, mask: np.ndarray, grid: Grid, stages: StageArrays) -> None:
        """Load a scan with saved results of the networks (see `stages`), computed with the current settings.

        Raises:
            InputError: as in `with_measurements`.
        """
        grid = with_measurements(grid, volume, mask, self.bundle.config.grid)
        self._load(grid, volume, assess(volume, mask, grid, self.bundle.template))
        with self._lock:
            self.computed_with = stages.made
            self._current.restore(stages.results, self.settings)

    def change(self, settings: Settings) -> bool:
        """Set new settings; return True if `work` has something to do.

        Raises:
            InputError: the bundle does not allow a value, or `axis` changed, which needs `load_scan` again.
        """
        settings = self.bundle.validated(settings)
        if self._loaded is not None and settings.axis != self.settings.axis:
            raise InputError("Another scan axis needs the scan to be analysed anew.")
        with self._lock:
            before, self.settings = self.settings, settings
        if before != settings:
            fields = type(settings).model_fields
            differ = {name for name in fields if getattr(before, name) != getattr(settings, name)}
            self.changed.emit(self._dependencies.changed_by(differ))
        return self._loaded is not None and not self.complete

    def cancel(self) -> None:
        """Stop `work` at the next step of the networks; finished results are kept."""
        with self._lock:
            self._generation += 1

    # ---- computation ------------------------------------------------------------------------------------------------

    def work(self, stages: tuple[str, ...] | None = None) -> Iterator[Progress]:
        """Compute the missing results of the given stages, or of all, outwards from the slice in focus.

        If settings change meanwhile, work for the old ones is dropped at the next step of the networks, so that
        dragging a slider builds no queue. A new scan or `cancel` ends the generator.
        """
        generation = self._generation
        for phase in self.phases:
            if stages is None or set(stages) & set(phase.names):
                yield from self._run(phase, generation)

    def finish(self, stages: tuple[str, ...] | None = None) -> None:
        """Run `work` to its end."""
        for _ in self.work(stages):
            pass

    def _run(self, phase: Phase, generation: int) -> Iterator[Progress]:
        started, finished = time.monotonic(), 0
        while missing := self._missing(phase):
            before = time.monotonic()
            try:
                done = self._run_slices(phase, missing, generation)
            except StaleWorkError:
                if generation != self._generation:
                    return
                continue
            except torch.OutOfMemoryError:
                self._free_memory()
                continue
            finally:
                self.restoring = ()
            name = phase.names[0]
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - before
            finished += len(done)
            total, left = self.n_slices, len(self._missing(phase))
            rate = (time.monotonic() - started) / max(finished, 1)
            yield Progress(phase.title, total - left, total, left * rate, tuple(done), self.note)

    def _run_slices(self, phase: Phase, missing: list[int], generation: int) -> list[int]:
        """Run a phase on the next few missing slices; return the slices that it ran on."""
        # Slices chosen after an earlier phase had ended lack the results that this phase reads.
        for earlier in self.phases[: self.phases.index(phase)]:
            done = self._current.results.done(earlier, self.settings)
            if lacking := [i for i in missing if not done[i]]:
                self._run_slices(earlier, lacking, generation)
        with self._lock:
            settings, kept = self.settings, self._current.results
            key, results = kept.key(phase, settings), kept.of(phase, settings)
            taken = kept.take_over(phase, missing, settings)
            indices = []
            if not taken:
                times = times_of_cpu(self.bundle.device)
                indices = kept.next_lot(phase, missing, settings, self.focus, self._at_once, times)
            if phase.samples is not None:
                self.restoring = tuple(indices)
        if taken or not indices:
            kept.trim(settings)
            self.changed.emit(self._dependencies.fed_by(phase.names))
            return taken

        def check() -> None:
            if generation != self._generation or kept.key(phase, self.settings) != key:
                raise StaleWorkError

        # Slices that already have some samples get only the rest.
        more = self._at_once if phase.samples else 1
        target = min(kept.wanted(phase, settings), results[phase.name].count(indices[0]) + more)
        check()
        for stage in phase.stages:
            samples = range(results[stage.name].count(indices[0]), target)
            if not samples:
                continue
            with self._lock:
                job = kept.job(phase, stage.name, indices, samples, settings)
            new = self.detector.run(stage.name, replace(job, check=check, at_once=self._at_once))
            with self._lock:
                check()
                self.computed_with = appended(self.computed_with, self.bundle.device)
                for i, arrays in zip(indices, new, strict=True):
                    results[stage.name].add(i, arrays)
                kept.trim(settings)
        self.changed.emit(self._dependencies.fed_by(phase.names))
        return indices

    def _free_memory(self) -> None:
        """After memory ran out, halve the batch size; if it is 1, move to the CPU; on the CPU, raise `InputError`."""
        if self._at_once > 1:
            self._at_once //= 2
        elif self.bundle.device.type != "cpu":
            self.bundle = self.bundle.to("cpu")
            self.detector = self.bundle.detector
            self._current.use(self.detector)
            self._at_once = at_once(self.bundle.device)
            self.note = "the GPU's memory is too small: on the CPU"
        else:
            raise InputError("There is not enough memory for a single slice.")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # ---- results ----------------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """The scan on the model's grid."""
        return self._current.grid

    @property
    def maps(self) -> Mapping[str, MapSpec | TailSpec]:
        """The available maps, by name: the detector's, the pixel score and the flagged voxels."""
        return self._dependencies.maps

    def settings_of_stages(self) -> frozenset[str]:
        """Return the settings whose change makes the networks run again."""
        samples = {phase.samples for phase in self.phases if phase.samples is not None}
        return frozenset(samples).union(*(phase.settings for phase in self.phases))

    def thresholds(self) -> dict[str, float]:
        """Return the current thresholds as numbers, each in its own unit, by the name of the setting."""
        return self.bundle.thresholds(self.settings)

    @property
    def complete(self) -> bool:
        """True if all chosen slices have all results for the current settings; slices without brain need none."""
        return not any(self._missing(phase) for phase in self.phases)

    def ready(self, name: str) -> NDArray[np.bool_]:
        """Mask the slices whose map is final for the settings, including the slices it is pooled from; bool (n,)."""
        with self._lock:
            loaded, s, grid = self._current, self.settings, self.grid
            inputs, specs = loaded.results.inputs(s), loaded.maps.slices.specs
            if name in specs:
                return inputs.there(specs[name].stage)
            if self.detector.scored is None:
                return inputs.there(self.phases[-1].name)
            scored, *evidence = (inputs.there(specs[source].stage) for source in self._dependencies.sources())
            known = np.all(evidence, axis=0) if evidence else np.ones(len(grid), bool)
            least = max(1, round(s.min_volume_ml / grid.voxel_ml)) if grid.kind == "head" else 1
            return final(name, scored, known, self.chosen(), s, self.scale(), least)

    def map(self, name: str, j: int = 0) -> NDArray:
        """Return a map on the grid, (n, H, W), read-only, zero where missing; the same array while nothing changes.

        If neighbours of a slice are missing, its pixel score is pooled without them; `ready` says which are final.

        Args:
            name: one of `maps`, such as "residual"; "pixel_score" (SD of intensity, or of healthy scores at the same
                voxel); or "flagged" (uint8, 1 where the pixel score exceeds its threshold). The latter two are zero
                for a detector that scores slices only.
            j: number of the restoration, for an indexed map.
        """
        with self._lock:
            # During training a bundle has no threshold for voxels; only "flagged" needs it.
            limit = self.thresholds().get("flag_voxels", np.inf) if name == "flagged" else np.inf
            return self._current.maps.get(name, self._inputs(limit), j)

    def results(self, stage: str, name: str, j: int = 0) -> NDArray:
        """Return an array of a stage for all slices, sample j, (n, …); zero where missing."""
        with self._lock:
            return self._current.results.inputs(self.settings).results[stage].stacked(name, j)

    def stacked(self, stage: str) -> Arrays:
        """Return all arrays of a stage for all slices, by name (see `results`); empty if no slice has any."""
        with self._lock:
            arrays = self._current.results.inputs(self.settings).results[stage].arrays
            return {name: self.results(stage, name) for name in next((tuple(a) for a in arrays if a), ())}

    def stages(self) -> StageArrays:
        """Return all results of the networks for the current settings; every map can be computed from them."""
        with self._lock:
            return StageArrays(self._current.arrays(self.settings), self.computed_with)

    def weights(self) -> NDArray | None:
        """Return the weights w_j, (S, n); None if the detector draws no restorations."""
        with self._lock:
            return self._current.maps.weights(self._inputs())

    def restorations(self, i: int) -> SliceRestorations | None:
        """Return the restorations of one slice with their weights; None until all are computed."""
        with self._lock:
            return self._current.maps.of_slice(self._inputs(), i)

    def sample_scores(self) -> NDArray:
        """Return the detector's own score of each slice, such as AS_sample, (n,).

        NaN for slices that are not ready or not chosen, and if the detector has no such score.
        """
        nothing = np.full(len(self.grid), np.nan)
        if self.detector.slice_title is None:
            return nothing
        first = self.phases[0].name
        with self._lock:
            inputs, stacked = self._current.results.inputs(self.settings), self.stacked(first)
        scores = self.detector.slice_score(stacked, inputs.settings) if stacked else None
        return nothing if scores is None else np.where(inputs.there(first) & self.chosen(), scores, np.nan)

    def slice_scores(self) -> NDArray:
        """Return the scores that flag and rank slices, (n,), NaN as in `sample_scores`; see `display.slice_scores`."""
        calibration = self.bundle.calibration
        if (kind := self.bundle.slice_kind(self.settings)) is None:
            return self.sample_scores()
        with self._lock:
            spacing = self.bundle.config.grid.spacing
            scores = self._current.maps.slice_scores(
                self._inputs(), calibration.median_and_p84(kind), calibration.slice_nll, spacing
            )
        return np.where(self.ready("pixel_score") & self.chosen(), scores, np.nan)

    @property
    def scan(self) -> Volume:
        """The loaded scan; raises `InputError` if there is none, or only a grid was loaded."""
        if self._loaded is not None and self._loaded.volume is not None:
            return self._loaded.volume
        raise InputError("There is no scan to explore.")

    @property
    def n_slices(self) -> int:
        """Number of slices to analyse."""
        return int(self.chosen().sum())

    def flagged_slices(self) -> NDArray[np.bool_]:
        """Mask the slices whose score exceeds its threshold, bool (n,)."""
        return np.nan_to_num(self.slice_scores(), nan=-np.inf) > self.thresholds()["flag_slices"]

    def volume_score(self) -> float:
        """Sum `sample_scores` over the slices, in their unit; zero if the detector has none."""
        return float(np.nansum(self.sample_scores()))

    def fitness(self) -> Fitness:
        """Return whether the scan fits the model; when all slices are scored, the share of flagged ones counts, too."""
        if self._loaded is None:
            return Fitness()
        known, fitness = self.grid.kind == "head" and self.complete, self._loaded.fitness
        return fitness.with_flagged(self.flagged_slices().sum() / self.n_slices) if known else fitness

    def chosen(self) -> NDArray[np.bool_]:
        """Mask the slices to analyse, bool (n,): those with brain, within the range in the settings."""
        return self._current.chosen(self.settings)

    def evidence(self) -> dict[str, NDArray]:
        """Return the z maps, (n, H, W), that a fused score adds to the residual's, by name."""
        with self._lock:
            return self._current.maps.evidence(self._inputs())

    def scale(self) -> str:
        """Return the pixel score's scale: "intensity" without normative maps or alignment, else as in the settings."""
        return self.bundle.scale(self.settings) if self.grid.aligned else "intensity"

    def stages_of(self, name: str) -> tuple[str, ...]:
        """List the stages that a map needs for the current settings."""
        return self._dependencies.stages_of(name, fused=self.scale() == "fused")

    # ---- bookkeeping ------------------------------------------------------------------------------------------------

    @property
    def _current(self) -> LoadedScan:
        """The loaded scan; raises `InputError` if there is none."""
        if self._loaded is None:
            raise InputError("There is no scan to explore yet.")
        return self._loaded

    def _inputs(self, flag_voxels: float = np.inf) -> MapInputs:
        scale, bundle, settings = self.scale(), self.bundle, self.settings
        healthy = bundle.calibration.median_and_p84(bundle.pixel_kind(settings)) if scale == "fused" else None
        whole = scale != "fused" or self.complete
        variant = self.detector.variant(settings)
        return MapInputs(self._current.results.inputs(settings), variant, flag_voxels, scale, healthy, whole)

    def _missing(self, phase: Phase) -> list[int]:
        with self._lock:
            return self._current.missing(phase, self.settings)
