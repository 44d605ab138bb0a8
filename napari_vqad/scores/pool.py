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
        mask: bool (n, H, W). Voxels outside it are absent: neither the minimum nor the average counts them, so the
            border is not dimmed. `paper_faithful` counts them, and what lies beyond the picture, as zero.
        mode: "none", "2d" (3×3, 7×7) or "3d" (3×3×3, 3×7×7; slices first).

    Returns:
        (n, H, W), zero outside the mask.
    """
    score = score * mask
    if mode == "none":
        return score
    least, mean = SIZES[mode]
    if paper_faithful:
        lowest = _slide(score, least, torch.amin, beyond=0.0)
        return _slide(lowest, mean, torch.sum, beyond=0.0) / math.prod(mean) * mask
    lowest = _slide(torch.where(mask, score, torch.inf), least, torch.amin, beyond=torch.inf)
    total = _slide(torch.where(mask, lowest, 0.0), mean, torch.sum, beyond=0.0)
    count = _slide(mask.to(score.dtype), mean, torch.sum, beyond=0.0)
    return torch.where(mask, total / count.clamp_min(1.0), 0.0)


def _slide(x: Tensor, sizes: tuple[int, int, int], reduce: Callable[[Tensor, int], Tensor], beyond: float) -> Tensor:
    """A box filter, one axis after the other (minimum and sum are separable); `beyond` stands outside the picture."""
    for axis, size in enumerate(sizes):
        if size > 1:
            margin = [0, 0, 0, 0, 0, 0]
            margin[2 * (2 - axis)] = margin[2 * (2 - axis) + 1] = size // 2
            x = reduce(F.pad(x, margin, value=beyond).unfold(axis, size, 1), -1)
    return x
