"""From the restorations that are kept to weights, residual and pixel score: arithmetic, slice by slice.

    differences → distances → weights (k, S) → residual, restoration → pixel score (pooling)

Whatever a slider changes is a few milliseconds for a whole volume, and a slice is computed anew only if something
that it depends on has changed.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_vqad.engine.store import Restorations
from napari_vqad.imaging.grid import Grid
from napari_vqad.scores import weighting as cs
from napari_vqad.scores.components import MEDIAN
from napari_vqad.scores.pooling import REACH, pool
from napari_vqad.settings import Settings

COMBINED = {"mean": cs.consolidate, "disagreement": lambda _weights, maps: cs.disagreement(maps)}


class Consolidation:
    """What the restorations of one scan amount to.

    Attributes:
        residual: Σ_j w_j R_j within the mask, SD, float32 (n, H, W).
        pixel_score: the pooled residual, SD, float32 (n, H, W).
        ready: bool (n,), slices that have all their restorations; the others are zero everywhere.
    """

    def __init__(self, grid: Grid) -> None:
        n = len(grid)
        self.mask, self.ready = torch.from_numpy(grid.mask), torch.zeros(n, dtype=torch.bool)
        self.residual, self.pixel_score = (torch.zeros(grid.slices.shape) for _ in range(2))
        self._combined = {name: torch.zeros(grid.slices.shape) for name in COMBINED}
        self._distances, self._weights = [torch.zeros(0)] * n, torch.zeros(n, 0)
        # What each slice's distances, residual, pixel score and combined differences were made of.
        self._measured: list[Hashable] = [None] * n
        self._weighed, self._pooled = (self._measured.copy() for _ in range(2))
        self._combined_of = {name: self._measured.copy() for name in COMBINED}

    def weights(self, kept: Restorations, wanted: int, settings: Settings) -> Tensor:
        """w_j, (n, S); zero where a slice is not ready."""
        self.update(kept, wanted, settings)
        return torch.where(self.ready[:, None], self._weights, 0.0)

    def combined(self, how: str, kept: Restorations, wanted: int, settings: Settings) -> Tensor:
        """The differences Y − X_j of each slice in one map (`COMBINED`), SD, float32 (n, H, W).

        Args:
            how: "mean", what the mean restoration takes off the scan; "disagreement", the SD of the restorations.
        """
        self.update(kept, wanted, settings)
        found = self._combined[how]
        for i in _old(self._combined_of[how], self._weighed):
            found[i] = 0.0
            if self.ready[i]:
                signed = torch.from_numpy(kept.difference[i][:wanted]).float()
                found[i] = COMBINED[how](self._weights[i : i + 1], signed[None])[0]
        self._combined_of[how] = self._weighed
        return found

    def update(self, kept: Restorations, wanted: int, settings: Settings) -> None:
        """Bring weights, residual and pixel score up to date: the first `wanted` restorations count."""
        s, n = settings, len(self.mask)
        version = [kept.version[i] if kept.shown(i) >= wanted else None for i in range(n)]
        measured: list[Hashable] = [v and (v, s.distance, s.paper_faithful) for v in version]
        weighed: list[Hashable] = [m and (m, wanted, s.k) for m in measured]
        self.ready = torch.tensor([v is not None for v in version])
        # A slice at a time, in the same memory: it stays in the processor's cache.
        scratch = torch.empty(1, max(map(kept.shown, range(n))), *self.mask.shape[1:])

        def residuals(i: int, chains: int) -> Tensor:
            return cs.residual(scratch[:, :chains].copy_(torch.from_numpy(kept.difference[i][None, :chains])))

        # d_j of all restorations there are, so that fewer of them are weighed without measuring again.
        for i in _old(self._measured, measured):
            if version[i]:
                found = residuals(i, kept.shown(i))
                self._distances[i] = cs.distance(found, self.mask[i : i + 1], s.distance, s.paper_faithful)[0]
        nothing = torch.ones(wanted)
        distances = torch.stack([d[:wanted] if v else nothing for d, v in zip(self._distances, version, strict=True)])
        self._weights = cs.weights(distances, s.k, s.paper_faithful)
        changed = _old(self._weighed, weighed)
        for i in changed:
            if version[i]:
                self.residual[i] = cs.consolidate(self._weights[i : i + 1], residuals(i, wanted))[0]
            else:
                self.residual[i] = 0.0
        if changed:
            self.residual *= self.mask
        self._measured, self._weighed = measured, weighed
        self._pool(s)

    def _pool(self, s: Settings) -> None:
        """Pool where a slice within reach has changed."""
        made_of: list[Hashable] = [(weighed, s.pooling) for weighed in self._weighed]
        old = _old(self._pooled, made_of)
        if not old:
            return
        self._pooled = made_of
        reach, n = REACH[s.pooling], len(made_of)
        low, high = max(0, old[0] - reach), min(n, old[-1] + 1 + reach)
        # What is cut off must be out of reach of what is taken.
        first, last = max(0, low - reach), min(n, high + reach)
        window = slice(first, last)
        pooled = pool(self.residual[window], self.mask[window], s.pooling, s.paper_faithful, self.ready[window])
        self.pixel_score[low:high] = pooled[low - first : high - first]


def final(
    name: str,
    restored: NDArray[np.bool_],
    has_nll: NDArray[np.bool_],
    needed: NDArray[np.bool_],
    settings: Settings,
    scale: str,
    least: int,
) -> NDArray[np.bool_]:
    """Which slices of a map will not change any more as others are done: bool (n,).

    Args:
        name: of the map. A pixel score is pooled from neighbours, and what is flagged is cleaned up with further ones.
        restored, has_nll: bool (n,), slices whose restorations, and whose NLL, are there.
        needed: bool (n,), slices that are to be analysed; others are never waited for.
        settings: for the pooling and the clean-up.
        scale: of the pixel score. A fused one is made of the NLL of neighbours, too, and is levelled by the whole scan:
            that is not counted here (see `Maps`).
        least: voxels of the smallest finding.
    """
    if name not in ("pixel_score", "cleaned", "flagged"):
        return restored.copy()
    ready = _with_neighbours(restored, needed, REACH[settings.pooling])
    if scale == "fused":
        ready &= _with_neighbours(has_nll, needed, REACH["smooth"])
    if name == "pixel_score":
        return ready
    # A piece that is too small may go on in a slice to come: of one voxel in each slice it reaches the farthest.
    further = (MEDIAN // 2 if settings.median else 0) + (least - 1 if name == "flagged" else 0)
    return _with_neighbours(ready, needed, further)


def _with_neighbours(there: NDArray[np.bool_], needed: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Slices that are there, as are all that are needed within so many slices of them."""
    missing = ndimage.maximum_filter1d((needed & ~there).astype(np.uint8), 2 * reach + 1, mode="constant")
    return there & (missing == 0)


def _old(before: list[Hashable], now: list[Hashable]) -> list[int]:
    """Slices where what was made is not what would be made now."""
    return [i for i, (a, b) in enumerate(zip(before, now, strict=True)) if a != b]
