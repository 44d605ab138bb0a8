"""What depends on what: the stages of an analysis, what is kept of them, in which order they run, and how they stop.

    scan, mask → grid → codes → NLL ──────────────→ slice scores (λ_s)
                          └──→ restorations (method, λ_p, seed, S) → differences
                                    └──→ weights (k, S) → residual, restoration → pixel score (pooling) → flagged

Everything up to the differences needs the networks and runs in `Explorer.work`, a generator for a worker thread, the
slice in view first. Everything after is arithmetic on what is kept and is computed when asked for. No Qt, no napari.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from psygnal import Signal

from napari_vqad.bundle import Bundle
from napari_vqad.cache import Budget, Key, Restorations
from napari_vqad.calibration import Thresholds, resolve
from napari_vqad.detectors.vq import VQDetector
from napari_vqad.errors import InputError
from napari_vqad.scores import consolidate as cs
from napari_vqad.scores.nll import sample_score, upsample
from napari_vqad.scores.pool import pool
from napari_vqad.settings import Settings
from napari_vqad.volume import Grid, Volume, to_grid

MAPS = ("nll", "restoration", "restoration_j", "residual", "pixel_score", "flagged")
STAGES = ("nll", "restoration")
BATCH = {"nll": 16, "restoration": 4}  # slices at once; small, so that Cancel and a new λ_p are answered soon


@dataclass(frozen=True)
class Progress:
    """How far a stage has come."""

    stage: str
    done: int
    total: int
    seconds_left: float | None = None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f" · {self.seconds_left:.0f} s left"
        return f"{self.stage}: {self.done} of {self.total} slices{left}"


class Explorer:
    """One bundle, one scan, and the answers to the sliders.

    `work` belongs to one worker thread at a time; every other method is quick and belongs to the caller's thread.
    """

    changed = Signal(set)  # names of maps with new content

    def __init__(self, bundle: Bundle, settings: Settings | None = None, cache_bytes: int = 512 * 2**20) -> None:
        self.bundle = bundle
        self.detector = VQDetector(bundle)
        self.settings = settings or Settings()
        self.focus = 0
        self.seconds: dict[str, float] = {}
        self.volume: Volume | None = None
        self._grid: Grid | None = None
        self._budget = Budget(cache_bytes)
        self._generation = 0
        self._lock = threading.RLock()
        # The last answers, with what they depend on: flagged and pixel score are asked for one after the other.
        self._distances: tuple[tuple, torch.Tensor] = ((), torch.empty(0))
        self._scores: tuple[tuple, torch.Tensor] = ((), torch.empty(0))

    # ---- what the person does -------------------------------------------------------------------------------------

    def open(self, volume: Volume, mask: np.ndarray) -> Grid:
        """Take another scan: bool mask (R, A, S) on its voxels. Everything of the scan before is dropped.

        Raises:
            InputError: the mask does not fit, or the scan is constant within it.
        """
        started = time.monotonic()
        grid = to_grid(volume, mask, self.bundle.config.grid, self.settings.axis)
        self.take(grid)
        self.volume = volume
        self.seconds["grid"] = time.monotonic() - started
        return grid

    def take(self, grid: Grid) -> None:
        """Take a scan that is on the model's grid already."""
        with self._lock:
            self._generation += 1
            self.volume, self._grid = None, grid
            self._codes = np.zeros((len(grid), *self.bundle.code_shape), np.int16)
            self._nll = np.zeros(self._codes.shape, np.float32)
            self._has_nll = np.zeros(len(grid), bool)
            self._budget.clear()
            self.focus = len(grid) // 2
            self.seconds = {}
        self.changed.emit(set(MAPS))

    def change(self, settings: Settings) -> bool:
        """Take new settings; True when `work` has something to do.

        Another `axis` needs `open` again, and is refused here.
        """
        if self._grid is not None and settings.axis != self.settings.axis:
            raise InputError("Another scan axis needs the scan to be analysed anew.")
        with self._lock:
            before, self.settings = self.settings, settings
        if before != settings:
            self.changed.emit(set(MAPS) - ({"nll"} if before.slices == settings.slices else set()))
        return self._grid is not None and bool(self._missing("nll") or self._missing("restoration"))

    def cancel(self) -> None:
        """Stop `work` within a batch; what is done is kept."""
        with self._lock:
            self._generation += 1

    # ---- what takes time ------------------------------------------------------------------------------------------

    def work(self, stages: tuple[str, ...] = STAGES) -> Iterator[Progress]:
        """Do what the settings need and is not there yet, outwards from the slice in focus.

        Settings may change meanwhile: each batch looks at the newest, so that a drag leaves no queue behind. A new
        scan or `cancel` ends the generator, and a batch of before is dropped.
        """
        generation = self._generation
        if "nll" in stages:
            yield from self._stage("nll", "NLL", self._do_nll, generation)
        if "restoration" in stages:
            yield from self._stage("restoration", "Restorations", self._do_restorations, generation)

    def _stage(
        self, name: str, label: str, do: Callable[[list[int], int], bool], generation: int
    ) -> Iterator[Progress]:
        started, finished = time.monotonic(), 0
        while missing := self._missing(name):
            nearest = sorted(missing, key=lambda i: abs(i - self.focus))[: BATCH[name]]
            before = time.monotonic()
            if generation != self._generation or not do(nearest, generation):
                return
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - before
            finished += len(nearest)
            total, left = len(self._chosen()), len(self._missing(name))
            rate = (time.monotonic() - started) / finished
            yield Progress(label, total - left, total, left * rate)

    def _do_nll(self, indices: list[int], generation: int) -> bool:
        grid = self.grid
        codes = self.detector.encode(grid.slices[indices], grid.position[indices])
        nll = self.detector.nll(codes, grid.position[indices])
        with self._lock:
            if generation != self._generation:
                return False
            self._codes[indices], self._nll[indices], self._has_nll[indices] = codes, nll, True
        self.changed.emit({"nll"})
        return True

    def _do_restorations(self, indices: list[int], generation: int) -> bool:
        grid = self.grid
        # Slices that were chosen after the NLL stage had ended have no codes yet.
        uncoded = [i for i in indices if not self._has_nll[i]]
        if uncoded and not self._do_nll(uncoded, generation):
            return False
        with self._lock:
            (method, lambda_p, seed), wanted = self._key(), self._wanted()
            kept = self._restorations()
            # Slices that already have some of their restorations get only the rest.
            first = int(kept.done[indices[0]])
            indices = [i for i in indices if kept.done[i] == first]
            chains = range(first, wanted)
            codes = self._codes[indices]
        if not chains:
            return True
        position = grid.position[indices]
        restored = self.detector.restore(codes, position, indices, chains, method=method, lambda_p=lambda_p, seed=seed)
        difference = self.detector.difference(grid.slices[indices], restored, position)
        with self._lock:
            if generation != self._generation:
                return False
            kept.put(indices, chains, restored, difference)
        self.changed.emit(set(MAPS) - {"nll"})
        return True

    # ---- what is there --------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """The scan on the model's grid."""
        if self._grid is None:
            raise InputError("There is no scan to explore yet.")
        return self._grid

    @property
    def maps(self) -> tuple[str, ...]:
        """Names that `map` knows."""
        return MAPS

    def thresholds(self) -> Thresholds:
        """The thresholds in force, each in its own unit."""
        return resolve(self.settings, self.bundle.calibration)

    def ready(self, name: str) -> np.ndarray:
        """bool (n,): slices whose map is complete for the settings."""
        if name == "nll":
            return self._has_nll.copy()
        with self._lock:
            return self._restorations().done >= self._wanted()

    def map(self, name: str, j: int = 0) -> np.ndarray:
        """A map on the grid, (n, H, W); zero where it is not ready.

        Args:
            name: "nll" (nats); "restoration" (the weighted mean), "restoration_j" (the j-th), "residual" and
                "pixel_score" (SD); "flagged" (uint8, 1 where the pixel score exceeds its threshold).
            j: which restoration, for "restoration_j".
        """
        with self._lock:
            if name == "nll":
                seen = upsample(torch.from_numpy(self._nll), self.grid.slices.shape[1:]).numpy()
                return seen * (self.grid.mask & self._has_nll[:, None, None])
            ready = self.ready(name)
            if name == "restoration_j":
                kept = self._restorations()
                return self._where(kept.done > j, self.grid.slices - kept.difference[:, min(j, kept.chains - 1)])
            if name == "restoration":
                mean = cs.consolidate(self._weights(), self._difference()).numpy()
                return self._where(ready, self.grid.slices - mean)
            score = self._residual() if name == "residual" else self._pixel_score()
            score[torch.from_numpy(~ready)] = 0.0
            if name == "flagged":
                return (score > self.thresholds().flag_voxels).numpy().astype(np.uint8)
            if name not in ("residual", "pixel_score"):
                raise KeyError(name)
            return score.numpy()

    def codes(self, name: str = "codes", j: int = 0) -> np.ndarray:
        """int16 (n, h, w): the scan's codes, or those of restoration j ("restored")."""
        with self._lock:
            return self._codes.copy() if name == "codes" else self._restorations().codes[:, j].copy()

    def code_nll(self) -> np.ndarray:
        """float32 (n, h, w), nats, one number a code."""
        return self._nll.copy()

    def weights(self) -> np.ndarray:
        """w_j, (S, n)."""
        with self._lock:
            return self._weights().numpy().T

    def slice_scores(self) -> np.ndarray:
        """AS_sample of each slice, (n,) in nats; NaN where it is not ready."""
        scores = sample_score(torch.from_numpy(self._nll), self.thresholds().lambda_s).numpy()
        return np.where(self._has_nll, scores, np.nan)

    def flagged_slices(self) -> np.ndarray:
        """bool (n,): AS_sample above its threshold."""
        return np.nan_to_num(self.slice_scores()) > self.thresholds().flag_slices

    def volume_score(self) -> float:
        """Σ of the slice scores, nats."""
        return float(np.nansum(self.slice_scores()))

    # ---- arithmetic on what is kept -------------------------------------------------------------------------------

    def _difference(self) -> torch.Tensor:
        return torch.from_numpy(self._restorations().difference[:, : self._wanted()])

    def _weights(self) -> torch.Tensor:
        s, kept = self.settings, self._restorations()
        # Distances change with new restorations alone; k is then arithmetic on S numbers a slice.
        key = (kept.version, self._wanted(), s.distance, s.paper_faithful)
        if key != self._distances[0]:
            residuals, mask = cs.residual(self._difference()), torch.from_numpy(self.grid.mask)
            self._distances = key, cs.distance(residuals, mask, s.distance, s.paper_faithful)
        return cs.weights(self._distances[1], s.k, s.paper_faithful)

    def _residual(self) -> torch.Tensor:
        """Σ_j w_j R_j within the mask."""
        consolidated = cs.consolidate(self._weights(), cs.residual(self._difference()))
        return consolidated * torch.from_numpy(self.grid.mask)

    def _pixel_score(self) -> torch.Tensor:
        s, kept = self.settings, self._restorations()
        key = (kept.version, self._wanted(), s.k, s.distance, s.pooling, s.paper_faithful)
        if key != self._scores[0]:
            mask = torch.from_numpy(self.grid.mask)
            self._scores = key, pool(self._residual(), mask, s.pooling, s.paper_faithful)
        return self._scores[1].clone()

    def _where(self, ready: np.ndarray, maps: np.ndarray) -> np.ndarray:
        return np.where(ready[:, None, None], maps, 0.0).astype(np.float32)

    # ---- bookkeeping ----------------------------------------------------------------------------------------------

    def _key(self) -> Key:
        # Regenerative restores nothing: neither λ_p nor the seed can matter.
        s = self.settings
        if s.method == "regenerative":
            return s.method, 0.0, 0
        return s.method, self.bundle.calibration.value("nll", s.lambda_p), s.seed

    def _wanted(self) -> int:
        return 1 if self.settings.method == "regenerative" else self.settings.n_restorations

    def _restorations(self) -> Restorations:
        """Those of the settings in force; made empty when there are none yet."""
        key, wanted = self._key(), self._wanted()
        kept = self._budget.get(key)
        if kept is None:
            kept = Restorations(len(self.grid), wanted, self.bundle.code_shape, self.grid.slices.shape[1:])
            self._budget.put(key, kept)
        kept.grow(wanted)
        return kept

    def _chosen(self) -> range:
        n, chosen = len(self.grid), self.settings.slices
        return range(n) if chosen is None else range(max(0, chosen[0]), min(n, chosen[1] + 1))

    def _missing(self, name: str) -> list[int]:
        ready = self.ready(name)
        return [i for i in self._chosen() if not ready[i]]
