"""Pooling of the pixel score: a minimum takes thin edges off, an average joins what belongs together.

Marimont & Tarroni 2020, §2.4, with the sizes of the authors' code.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

SIZES = {"2d": ((1, 3, 3), (1, 7, 7)), "3d": ((3, 3, 3), (3, 7, 7))}


def pool(score: Tensor, mask: Tensor, mode: str = "2d", paper_faithful: bool = False) -> Tensor:
    """AS_pixel = average(minimum(score)).

    Args:
        score: (n, H, W), consecutive slices.
        mask: bool (n, H, W). The score is zero outside it, so the minimum takes off the rim of the brain, where
            healthy residuals are highest: on the validation subjects that finds more than leaving voxels outside the
            mask out of the count (voxel AP 0.39 against 0.36).
        mode: "none", "2d" (3×3, 7×7) or "3d" (3×3×3, 3×7×7; slices first).
        paper_faithful: count what lies beyond the picture as zero, which dims the border.

    Returns:
        (n, H, W), zero outside the mask.
    """
    score = score * mask
    if mode == "none":
        return score
    least, mean = SIZES[mode]
    # What lies beyond the picture is absent and dims nothing; in the reference code it counts as zero.
    lowest = _slide(score, least, torch.amin, beyond=0.0 if paper_faithful else torch.inf)
    total = _slide(lowest, mean, torch.sum, beyond=0.0)
    if paper_faithful:
        return total / math.prod(mean) * mask
    return total / _slide(torch.ones_like(score), mean, torch.sum, beyond=0.0) * mask


def _slide(x: Tensor, sizes: tuple[int, int, int], reduce: Callable[[Tensor, int], Tensor], beyond: float) -> Tensor:
    """A box filter, one axis after the other (minimum and sum are separable); `beyond` stands outside the picture."""
    for axis, size in enumerate(sizes):
        if size > 1:
            margin = [0, 0, 0, 0, 0, 0]
            margin[2 * (2 - axis)] = margin[2 * (2 - axis) + 1] = size // 2
            x = reduce(F.pad(x, margin, value=beyond).unfold(axis, size, 1), -1)
    return x
