"""From the restorations that are kept to weights, residual and pixel score: arithmetic, slice by slice.

    differences → distances → weights (k, S) → residual, restoration → pixel score (pooling)

Whatever a slider changes is a few milliseconds for a whole volume, and a slice is computed anew only if something
that it depends on has changed.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor

from napari_vqad.cache import Restorations
from napari_vqad.scores import consolidate as cs
from napari_vqad.scores.pool import REACH, pool
from napari_vqad.settings import Settings
from napari_vqad.volume import Grid


class Consolidation:
    """What the restorations of one scan amount to.

    Attributes:
        residual: Σ_j w_j R_j within the mask, SD, float32 (n, H, W).
        difference: Σ_j w_j (Y − X_j), SD, float32 (n, H, W).
        pixel_score: the pooled residual, SD, float32 (n, H, W).
        ready: bool (n,), slices that have all their restorations; the others are zero everywhere.
    """

    def __init__(self, grid: Grid) -> None:
        self.mask = torch.from_numpy(grid.mask)
        self.residual, self.difference, self.pixel_score = (torch.zeros(grid.slices.shape) for _ in range(3))
        self.ready = torch.zeros(len(grid), dtype=torch.bool)
        self._weights: list[Tensor] = [torch.zeros(0)] * len(grid)
        self._weighed: list[Hashable] = [None] * len(grid)
        self._distances: list[tuple[Hashable, Tensor]] = [(None, torch.zeros(0))] * len(grid)
        self._pooled: list[Hashable] = [None] * len(grid)

    def weights(self, kept: Restorations, wanted: int, settings: Settings) -> Tensor:
        """w_j, (n, S); zero where a slice is not ready."""
        self.update(kept, wanted, settings)
        return torch.stack([w if len(w) == wanted else torch.zeros(wanted) for w in self._weights])

    def update(self, kept: Restorations, wanted: int, settings: Settings) -> None:
        """Bring everything up to date: the first `wanted` restorations count."""
        s = settings
        for i in range(len(self._weighed)):
            ready = kept.shown(i) >= wanted
            made_of = (kept.version[i], wanted, s.k, s.distance, s.paper_faithful) if ready else None
            if made_of == self._weighed[i]:
                continue
            self._weighed[i], self.ready[i] = made_of, ready
            if ready:
                self._weigh(i, torch.from_numpy(kept.difference[i]), kept.version[i], wanted, s)
            else:
                self._weights[i] = torch.zeros(0)
                self.residual[i], self.difference[i] = 0.0, 0.0
        self._pool(s)

    def _weigh(self, i: int, difference: Tensor, version: int, wanted: int, s: Settings) -> None:
        """w = softmax_j(k / d_j) and the sums over j, of one slice: difference is (s, H, W)."""
        signed = difference[None, :wanted].float()
        residuals = signed.abs()
        measured = (version, wanted, s.distance, s.paper_faithful)
        if measured != self._distances[i][0]:
            self._distances[i] = measured, cs.distance(residuals, self.mask[i : i + 1], s.distance, s.paper_faithful)
        weights = cs.weights(self._distances[i][1], s.k, s.paper_faithful)
        self._weights[i] = weights[0]
        self.residual[i] = cs.consolidate(weights, residuals)[0] * self.mask[i]
        self.difference[i] = cs.consolidate(weights, signed)[0]

    def _pool(self, s: Settings) -> None:
        """Pool where a slice within reach has changed."""
        made_of: list[Hashable] = [(weighed, s.pooling) for weighed in self._weighed]
        old = [i for i, (now, before) in enumerate(zip(made_of, self._pooled, strict=True)) if now != before]
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
