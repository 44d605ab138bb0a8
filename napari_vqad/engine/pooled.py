"""The pooled score of a scan, and which slices of it are final: a slice is pooled with its neighbours."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.scores.components import MEDIAN
from napari_vqad.scores.pooling import REACH, pool
from napari_vqad.settings import SharedSettings


class PooledScore:
    """Pools the scored map of a scan, and pools again only where a slice within reach has changed.

    Attributes:
        score: the pooled map, float32 (n, H, W).
    """

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self._mask = torch.from_numpy(mask)
        self.score = torch.zeros(mask.shape)
        self._made: list[Hashable] = [None] * len(mask)

    def update(self, scored: NDArray, made_of: Sequence[Hashable], settings: SharedSettings) -> NDArray[np.float32]:
        """Bring the score up to date.

        Args:
            scored: the map that is pooled, (n, H, W).
            made_of: what each slice of it was made of; None where it is not there.
            settings: for the pooling.
        """
        s, present = settings, torch.tensor([made is not None for made in made_of])
        now: list[Hashable] = [(made, s.pooling, s.paper_faithful) for made in made_of]
        old = [i for i, (before, after) in enumerate(zip(self._made, now, strict=True)) if before != after]
        if not old:
            return self.score.numpy()
        self._made = now
        reach, n = REACH[s.pooling], len(now)
        low, high = max(0, old[0] - reach), min(n, old[-1] + 1 + reach)
        # What is cut off must be out of reach of what is taken.
        first, last = max(0, low - reach), min(n, high + reach)
        window = slice(first, last)
        stack = torch.from_numpy(scored[window])
        pooled = pool(stack, self._mask[window], s.pooling, s.paper_faithful, present[window])
        self.score[low:high] = pooled[low - first : high - first]
        return self.score.numpy()


def final(
    name: str,
    scored: NDArray[np.bool_],
    evidence: NDArray[np.bool_],
    needed: NDArray[np.bool_],
    settings: SharedSettings,
    scale: str,
    least: int,
) -> NDArray[np.bool_]:
    """Which slices of a map that is made of the pixel score will not change any more as others are done: bool (n,).

    Args:
        name: of the map: "pixel_score", which is pooled from neighbours, or "cleaned" or "flagged", which are cleaned
            up with further ones.
        scored, evidence: bool (n,), slices whose scored map, and whose evidence of a fused score, are there.
        needed: bool (n,), slices that are to be analysed; others are never waited for.
        settings: for the pooling and the clean-up.
        scale: of the pixel score. A fused one is made of the evidence of neighbours, too, and is centred by the whole
            scan: that is not counted here (see `Maps`).
        least: voxels of the smallest finding.
    """
    ready = _with_neighbours(scored, needed, REACH[settings.pooling])
    if scale == "fused":
        ready &= _with_neighbours(evidence, needed, REACH["smooth"])
    if name == "pixel_score":
        return ready
    # A piece that is too small may go on in a slice to come: of one voxel in each slice it reaches the farthest.
    further = (MEDIAN // 2 if settings.median else 0) + (least - 1 if name == "flagged" else 0)
    return _with_neighbours(ready, needed, further)


def _with_neighbours(there: NDArray[np.bool_], needed: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Slices that are there, as are all that are needed within so many slices of them."""
    missing = ndimage.maximum_filter1d((needed & ~there).astype(np.uint8), 2 * reach + 1, mode="constant")
    return there & (missing == 0)
