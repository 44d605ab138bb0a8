"""The pooled score of a scan, and which of its slices are final; a slice is pooled with its neighbours."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.scores.components import MEDIAN
from napari_vqad.scores.pooling import REACH, judged, pool
from napari_vqad.settings import SharedSettings


class PooledScore:
    """Pools the scored map of a scan; pools again only slices within reach of a changed one.

    Attributes:
        score: the pooled map, float32 (n, H, W).
    """

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self._mask = torch.from_numpy(mask)
        self.score = torch.zeros(mask.shape)
        self._made: list[Hashable] = [None] * len(mask)

    def update(self, scored: NDArray, made_of: Sequence[Hashable], settings: SharedSettings) -> NDArray[np.float32]:
        """Update the score.

        Args:
            scored: the map to pool, (n, H, W).
            made_of: everything that each slice of it depends on; None for a missing slice.
            settings: settings of the pooling.
        """
        s, present = settings, torch.tensor([made is not None for made in made_of])
        now: list[Hashable] = [(made, s.pooling, s.paper_faithful) for made in made_of]
        old = [i for i, (before, after) in enumerate(zip(self._made, now, strict=True)) if before != after]
        if not old:
            return self.score.numpy()
        self._made = now
        reach, n = REACH[s.pooling], len(now)
        low, high = max(0, old[0] - reach), min(n, old[-1] + 1 + reach)
        # The window needs `reach` more slices on each side, so that the slices kept are exact.
        first, last = max(0, low - reach), min(n, high + reach)
        window = slice(first, last)
        stack = torch.from_numpy(scored[window])
        pooled = pool(stack, self._mask[window], s.pooling, s.paper_faithful, present[window])
        self.score[low:high] = pooled[low - first : high - first]
        return self.score.numpy()


def scored_voxels(mask: NDArray[np.bool_], settings: SharedSettings) -> NDArray[np.bool_]:
    """Mask the voxels of a mask, bool (n, H, W), that the chosen pooling gives a score."""
    return judged(mask, settings.pooling)


def final(
    name: str,
    scored: NDArray[np.bool_],
    evidence: NDArray[np.bool_],
    needed: NDArray[np.bool_],
    settings: SharedSettings,
    scale: str,
    least: int,
) -> NDArray[np.bool_]:
    """Mask the slices of a map that will not change when further slices are computed, bool (n,).

    Args:
        name: "pixel_score", which is pooled over neighbours, or "cleaned" or "flagged", whose clean-up needs further
            neighbours.
        scored, evidence: bool (n,), slices whose scored map, and whose evidence for a fused score, are computed.
        needed: bool (n,), slices to analyse; others are not waited for.
        settings: settings of pooling and clean-up.
        scale: scale of the pixel score. A fused score also depends on the evidence of neighbours. It is centred by the
            whole scan, too, which is not considered here (see `Maps`).
        least: voxels of the smallest finding.
    """
    ready = _with_neighbours(scored, needed, REACH[settings.pooling])
    if scale == "fused":
        ready &= _with_neighbours(evidence, needed, REACH["smooth"])
    if name == "pixel_score":
        return ready
    # A piece below `least` may continue in slices not computed yet; with one voxel per slice it extends farthest.
    further = (MEDIAN // 2 if settings.median else 0) + (least - 1 if name == "flagged" else 0)
    return _with_neighbours(ready, needed, further)


def _with_neighbours(there: NDArray[np.bool_], needed: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Mask computed slices whose needed neighbours within `reach` slices are computed, too."""
    missing = ndimage.maximum_filter1d((needed & ~there).astype(np.uint8), 2 * reach + 1, mode="constant")
    return there & (missing == 0)
