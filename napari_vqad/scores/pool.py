"""Pooling of the pixel score: a minimum takes thin edges off, an average joins what belongs together.

Marimont & Tarroni 2020, §2.4, with the sizes of the authors' code.
"""

from __future__ import annotations

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
    inside = mask.to(score.dtype)
    if mode == "none":
        return score * inside
    least, mean = SIZES[mode]
    if paper_faithful:
        lowest = -F.max_pool3d(-F.pad(score * inside, _margin(least))[None], least, stride=1)[0]
        return F.avg_pool3d(lowest[None], mean, stride=1, padding=_half(mean), count_include_pad=True)[0] * inside
    # max_pool pads with −∞ by itself, which is "absent" here.
    lowest = -F.max_pool3d(torch.where(mask, -score, -torch.inf)[None], least, stride=1, padding=_half(least))[0]
    total = F.avg_pool3d(torch.where(mask, lowest, 0.0)[None], mean, stride=1, padding=_half(mean))[0]
    count = F.avg_pool3d(inside[None], mean, stride=1, padding=_half(mean))[0]
    return torch.where(mask, total / count.clamp_min(1e-6), 0.0)


def _half(size: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(s // 2 for s in size)


def _margin(size: tuple[int, int, int]) -> list[int]:
    return [s // 2 for s in reversed(size) for _ in range(2)]
