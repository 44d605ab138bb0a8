"""What depends on what: the stages of an analysis, in which order they run, what is kept of them, and how they stop.

    scan, mask → grid → codes → NLL ──────────────→ AS_sample (λ_s)
                          └──→ restorations (method, λ_p, seed, S) → differences
                                    └──→ weights (k, S) → residual, restoration → pixel score (pooling)→ flagged, slices

Up to the differences the networks work in `Explorer.work`, a generator for a worker thread, the slice in view first.
All that follows is arithmetic on what is kept (`consolidation`), done when asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from psygnal import Signal

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.calibration import Thresholds, resolve
from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.detectors.vq.likelihood import sample_score
from napari_vqad.detectors.vq.rule import Rule
from napari_vqad.engine.consolidation import final
from napari_vqad.engine.maps import MAPS, Kept, Maps, Restored
from napari_vqad.engine.progress import Progress, SupersededError
from napari_vqad.engine.provenance import Made, made_here, signed
from napari_vqad.engine.store import Budget, Restorations, Stages, guess_from
from napari_vqad.errors import InputError
from napari_vqad.imaging.fitness import Fitness, assess, check_extent
from napari_vqad.imaging.grid import Grid, to_grid
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.imaging.volume import Volume
from napari_vqad.nets.device import at_once
from napari_vqad.settings import Settings

STAGES = ("nll", "restoration")
NLL_AT_ONCE = 16


class Explorer:
    """One bundle, one scan, and the answers to the sliders.

    `work` belongs to one worker thread at a time; every other method is quick and belongs to the caller's thread.
    """

    changed = Signal(set)  # names of maps with new content

    def __init__(self, bundle: Bundle, settings: Settings | None = None, cache_bytes: int = 512 * 2**20) -> None:
        self.bundle = bundle
        self.detector = VQDetector(bundle)
        self.settings = bundle.fitting(settings or Settings())
        self.focus = 0
        self.seconds: dict[str, float] = {}
        self.made: tuple[Made, ...] = ()
        self.volume: Volume | None = None
        self.note = ""
        self.in_hand: tuple[int, ...] = ()  # the slices that are being restored
        self._at_once = at_once(bundle.device)
        self._grid: Grid | None = None
        self._fitness = Fitness()
        self._budget = Budget(cache_bytes)
        self._generation = 0
        self._lock = threading.RLock()

    # ---- what the person does -------------------------------------------------------------------------------------

    def open(self, volume: Volume, mask: np.ndarray) -> Grid:
        """Take another scan: bool mask (R, A, S) on its voxels. Everything of the scan before is dropped.

        Raises:
            InputError: the mask does not fit, or the scan is constant within it.
        """
        started = time.monotonic()
        if volume.kind == "head":
            check_extent(volume)
        grid = to_grid(volume, mask, self.bundle.config.grid, self.settings.axis, self.bundle.template)
        self.take(grid)
        self.volume, self._fitness = volume, assess(volume, mask, grid, self.bundle.template)
        self.seconds["grid"] = time.monotonic() - started
        return grid

    def take(self, grid: Grid) -> None:
        """Take a scan that is on the model's grid already."""
        maps = Maps(grid, self.bundle.places, self.bundle.levels, self.bundle.linear, self.bundle.template)
        maps.prepare()
        with self._lock:
            self._generation += 1
            self.volume, self._grid, self._fitness = None, grid, Fitness()
            self._codes = np.zeros((len(grid), *self.bundle.levels.shape), np.int16)
            self._nll = np.zeros(self._codes.shape, np.float32)
            self._has_nll = np.zeros(len(grid), bool)
            self._numbers = numbers(grid)
            self._brain = [int(i) for i in np.flatnonzero(grid.mask.any((1, 2)))]
            self._maps = maps
            self._budget.clear()
            self.focus = self._brain[len(self._brain) // 2]
            self.seconds, self.made = {}, (made_here(self.bundle.device),)  # the grid is of today, whatever follows
        self.changed.emit(set(MAPS))

    def resume(self, volume: Volume, mask: np.ndarray, grid: Grid, stages: Stages) -> None:
        """Take a scan with what the networks made of it before, for settings as they are now (see `stages`)."""
        self.take(grid)
        with self._lock:
            self.volume, self._fitness = volume, assess(volume, mask, grid, self.bundle.template)
            self._codes, self._nll, self._has_nll = (a.copy() for a in stages[:3])
            self.made = stages.made
            kept = self._restorations()
            for i, (codes, difference) in enumerate(zip(stages.restored, stages.difference, strict=True)):
                kept.add_codes(i, codes)
                kept.add_pictures(i, difference)

    def change(self, settings: Settings) -> bool:
        """Take new settings; True when `work` has something to do.

        Another `axis` needs `open` again, and is refused here, as is a method that the bundle does not know.
        """
        settings = self.bundle.fitting(settings)
        if self._grid is not None and settings.axis != self.settings.axis:
            raise InputError("Another scan axis needs the scan to be analysed anew.")
        with self._lock:
            before, self.settings = self.settings, settings
        if before != settings:
            same_nll = (before.slices, before.level) == (settings.slices, settings.level)
            self.changed.emit(set(MAPS) - ({"nll"} if same_nll else set()))
        return self._grid is not None and not self.complete

    def cancel(self) -> None:
        """Stop `work` within a step of the networks; what is done is kept."""
        with self._lock:
            self._generation += 1

    # ---- what takes time ------------------------------------------------------------------------------------------

    def work(self, stages: tuple[str, ...] = STAGES) -> Iterator[Progress]:
        """Do what the settings need and is not there yet, outwards from the slice in focus.

        Settings may change meanwhile: what is under way for the old ones is dropped at the next step of the networks,
        so that a drag leaves no queue behind. A new scan or `cancel` ends the generator.
        """
        generation = self._generation
        if "nll" in stages:
            yield from self._stage("nll", "NLL", self._do_nll, generation)
        if "restoration" in stages:
            yield from self._stage("restoration", "Restorations", self._do_restorations, generation)

    def _stage(
        self, name: str, label: str, do: Callable[[list[int], int], list[int]], generation: int
    ) -> Iterator[Progress]:
        started, finished = time.monotonic(), 0
        while missing := self._missing(name):
            before = time.monotonic()
            try:
                done = do(missing, generation)
            except SupersededError:
                if generation != self._generation:
                    return
                continue
            except torch.OutOfMemoryError:
                self._make_room()
                continue
            finally:
                self.in_hand = ()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - before
            finished += len(done)
            total, left = self.n_slices, len(self._missing(name))
            rate = (time.monotonic() - started) / max(finished, 1)
            yield Progress(label, total - left, total, left * rate, tuple(done), self.note)

    def _do_nll(self, missing: list[int], generation: int) -> list[int]:
        grid, indices = self.grid, self._nearest(missing)[: min(NLL_AT_ONCE, self._at_once)]
        if generation != self._generation:
            raise SupersededError
        codes = self.detector.encode(grid.slices[indices], grid.position[indices])
        nll = self.detector.nll(codes, grid.position[indices])
        with self._lock:
            if generation != self._generation:
                raise SupersededError
            self._codes[indices], self._nll[indices], self._has_nll[indices] = codes, nll, True
            self.made = signed(self.made, self.bundle.device)
        self.changed.emit({"nll"})
        return indices

    def _do_restorations(self, missing: list[int], generation: int) -> list[int]:
        # Slices that were chosen after the NLL stage had ended have no codes yet.
        if uncoded := [i for i in missing if not self._has_nll[i]]:
            self._do_nll(uncoded, generation)
        grid = self.grid
        with self._lock:
            rule, wanted, kept = self._rule(), self._wanted(), self._restorations()
            alike = self._budget.inherit(rule, kept, self._nll, [i for i in missing if self._has_nll[i]], wanted)
            near = self._budget.near(rule)
            self.in_hand = tuple(indices := self._lot(missing, kept, wanted))
        if alike or not indices:
            self.changed.emit(set(MAPS) - {"nll"})
            return alike

        def check() -> None:
            if generation != self._generation or self._rule() != rule:
                raise SupersededError

        # Slices that have some of their restorations already get only the rest, and codes are not drawn twice.
        restored, shown = kept.restored(indices[0]), kept.shown(indices[0])
        chains = range(restored, min(wanted, shown + self._at_once))
        position, codes = grid.position[indices], self._codes[indices]
        check()
        if chains:
            guess, nll = guess_from(near, indices, chains, codes), self._nll[indices]
            drawn = self.detector.restore(codes, nll, position, indices, chains, rule, guess, check)
            with self._lock:
                check()
                self.made = signed(self.made, self.bundle.device)
                for i, of_slice in zip(indices, drawn, strict=True):
                    kept.add_codes(i, of_slice)
        restored_codes = np.stack([kept.codes[i][shown : shown + self._at_once] for i in indices])
        half = max(1, self._at_once // 2)  # in two halves: what is superseded ends between them
        difference = self.detector.difference(grid.slices[indices], restored_codes, position, half, check)
        with self._lock:
            check()
            self.made = signed(self.made, self.bundle.device)
            for i, of_slice in zip(indices, difference, strict=True):
                kept.add_pictures(i, of_slice)
            self._budget.trim()
        self.changed.emit(set(MAPS) - {"nll"})
        return indices

    def _lot(self, missing: list[int], kept: Restorations, wanted: int) -> list[int]:
        """The slices to restore next: the one in view alone, then its neighbours, so many that all are soon done."""
        if not (nearest := self._nearest([i for i in missing if self._has_nll[i]])):
            return []
        have = kept.restored(nearest[0]), kept.shown(nearest[0])
        alike = [i for i in nearest if (kept.restored(i), kept.shown(i)) == have]
        return alike[: 1 if nearest[0] == self.focus else max(1, self._at_once // max(1, wanted - have[1]))]

    def _nearest(self, missing: list[int]) -> list[int]:
        return sorted(missing, key=lambda i: abs(i - self.focus))

    def _make_room(self) -> None:
        """Memory ran out: half as many pictures at once; when one alone is too many, the CPU."""
        if self._at_once > 1:
            self._at_once //= 2
        elif self.bundle.device.type != "cpu":
            self.bundle = self.bundle.to("cpu")
            self.detector = VQDetector(self.bundle)
            self._at_once = at_once(self.bundle.device)
            self.note = "the GPU's memory is too small: on the CPU"
        else:
            raise InputError("There is not enough memory for a single slice.")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    # ---- what is there --------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """The scan on the model's grid."""
        if self._grid is None:
            raise InputError("There is no scan to explore yet.")
        return self._grid

    def thresholds(self) -> Thresholds:
        """The thresholds in force, each in its own unit."""
        return resolve(self.settings, self.bundle.calibration)

    @property
    def complete(self) -> bool:
        """Is everything there that the settings ask for? Slices without brain need nothing."""
        return not (self._missing("nll") or self._missing("restoration"))

    def ready(self, name: str) -> np.ndarray:
        """bool (n,): slices whose map is final for the settings, with all slices that it is pooled from."""
        if name == "nll":
            return self._has_nll.copy()
        with self._lock:
            kept, wanted, settings, grid = self._restorations(), self._wanted(), self.settings, self.grid
            restored = np.array([kept.shown(i) >= wanted for i in range(len(grid))])
            least = max(1, round(settings.least_ml / grid.voxel_ml)) if grid.kind == "head" else 1
            return final(name, restored, self._has_nll, self.chosen(), settings, self.scale(), least)

    def map(self, name: str, j: int = 0) -> np.ndarray:
        """A map on the grid, (n, H, W), read-only; zero where it is not ready. The same array while nothing changes.

        The pixel score of a slice whose neighbours are not there yet is pooled without them: `ready` tells.

        Args:
            name: "nll" (nats); "restoration" (the weighted mean), "restoration_j" (the j-th), "disagreement" (the SD
                among all) and "residual" (SD);
                "pixel_score" (SD of intensity, or of healthy scores at the place);
                "flagged" (uint8, 1 where the pixel score exceeds its threshold).
            j: which restoration, for "restoration_j".
        """
        with self._lock:
            # A bundle in training has no threshold for voxels yet, and needs none for the other maps.
            limit = self.thresholds().flag_voxels if name == "flagged" else np.inf
            return self._maps.get(name, self._kept(limit), j)

    def stages(self) -> Stages:
        """All that the networks have made of the scan for the settings in force; every map comes of it."""
        with self._lock:
            kept, n = self._restorations(), self._wanted()
            restored, difference = [c[:n] for c in kept.codes], [d[:n] for d in kept.difference]
            return Stages(self._codes.copy(), self._nll.copy(), self._has_nll.copy(), restored, difference, self.made)

    def codes(self, name: str = "codes", j: int = 0) -> np.ndarray:
        """int16 (n, h, w): the scan's codes, or those of restoration j ("restored"), zero where it is not there yet."""
        with self._lock:
            found = self._codes.copy()
            if name == "restored":
                kept = self._restorations()
                for i in range(len(found)):
                    found[i] = kept.codes[i][j] if kept.restored(i) > j else 0
            return found

    def code_nll(self) -> np.ndarray:
        """float32 (n, h, w), nats, one number a code, zero where there is none."""
        return self._nll.copy()

    def weights(self) -> np.ndarray:
        """w_j, (S, n)."""
        with self._lock:
            return self._maps.weights(self._kept())

    def restorations(self, i: int) -> Restored | None:
        """The restorations of one slice with their weights; None while they are not all there."""
        with self._lock:
            return self._maps.of_slice(self._kept(), i)

    def sample_scores(self) -> np.ndarray:
        """AS_sample of each slice, (n,) in nats; NaN where it is not ready, or was not chosen."""
        scores = sample_score(torch.from_numpy(self._nll), self.thresholds().lambda_s).numpy()
        return np.where(self._has_nll & self.chosen(), scores, np.nan)

    def slice_scores(self) -> np.ndarray:
        """What flags and ranks slices, (n,), NaN as of `sample_scores`; their unit: `slice_words.unit`."""
        calibration = self.bundle.calibration
        if (kind := calibration.slice_kind(self.settings)) is None:
            return self.sample_scores()
        healthy, spacing = calibration.middle(kind), self.bundle.config.grid.spacing
        with self._lock:
            scores = self._maps.slice_scores(self._kept(), healthy, calibration.slice_nll, spacing)
        return np.where(self.ready("pixel_score") & self.chosen(), scores, np.nan)

    @property
    def n_slices(self) -> int:
        """How many slices are to be analysed."""
        return int(self.chosen().sum())

    def flagged_slices(self) -> np.ndarray:
        """bool (n,): slices whose score exceeds its threshold."""
        return np.nan_to_num(self.slice_scores(), nan=-np.inf) > self.thresholds().flag_slices

    def volume_score(self) -> float:
        """Σ of AS_sample over the slices, nats."""
        return float(np.nansum(self.sample_scores()))

    def fitness(self) -> Fitness:
        """Does the scan fit the model? The share of flagged slices counts once all slices have a score."""
        known = self._grid is not None and self.grid.kind == "head" and self.complete
        return self._fitness.with_flagged(self.flagged_slices().sum() / self.n_slices) if known else self._fitness

    # ---- bookkeeping ----------------------------------------------------------------------------------------------

    def _rule(self) -> Rule:
        return Rule.of(self.settings, self.bundle.calibration)

    def _wanted(self) -> int:
        return 1 if self.settings.method == "regenerative" else self.settings.n_restorations

    def _restorations(self) -> Restorations:
        """Those of the settings in force; made empty when there are none yet."""
        if (kept := self._budget.get(rule := self._rule())) is None:
            kept = Restorations(len(self.grid), self.bundle.levels.shape, self.grid.slices.shape[1:])
            self._budget.put(rule, kept)
        return kept

    def chosen(self) -> np.ndarray:
        """bool (n,): slices to analyse, those with brain within the range that is set."""
        low, high = self.settings.slices or (-np.inf, np.inf)
        return np.isin(np.arange(len(self.grid)), self._brain) & (low <= self._numbers) & (self._numbers <= high)

    def _kept(self, flag_voxels: float = np.inf) -> Kept:
        restorations, wanted = self._restorations(), self._wanted()
        scale, calibration = self.scale(), self.bundle.calibration
        healthy = calibration.middle(calibration.pixel_kind(self.settings)) if scale == "fused" else None
        whole = scale != "fused" or self.complete
        return Kept(self._nll, self._has_nll, restorations, wanted, self.settings, flag_voxels, scale, healthy, whole)

    def evidence(self) -> dict[str, np.ndarray]:
        """The z maps, (n, H, W), that a fused score adds to the residual's, by name."""
        with self._lock:
            return self._maps.evidence(self._kept())

    def scale(self) -> str:
        """How the pixel score is measured: as the settings ask where the model knows places, else "plain"."""
        return self.bundle.scale(self.settings) if self.grid.aligned else "plain"

    def _missing(self, name: str) -> list[int]:
        return [int(i) for i in np.flatnonzero(self.chosen() & ~self.ready(name))]
