"""Pooling of the pixel score: what is thin goes, what belongs together is joined.

"2d" and "3d": a minimum, then an average (Marimont & Tarroni 2020, §2.4, with the sizes of the authors' code).
"smooth": a Gaussian average within the brain. The minimum over 27 voxels of a residual that changes sign from voxel to
voxel is next to nothing, so it loses disturbed texture; what healthy edges leave is for calibration by place to take
off.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

SIZES = {"2d": ((1, 3, 3), (1, 7, 7)), "3d": ((3, 3, 3), (3, 7, 7))}
SIGMA, RADIUS = 1.5, 5  # voxels, of "smooth"
REACH = {"none": 0, "2d": 0, "3d": 2, "smooth": RADIUS}  # slices up and down that a slice's pooled score depends on


def pool(
    score: Tensor, mask: Tensor, mode: str = "2d", paper_faithful: bool = False, present: Tensor | None = None
) -> Tensor:
    """AS_pixel = average(minimum(score)).

    Args:
        score: (n, H, W), consecutive slices.
        mask: bool (n, H, W). The score is zero outside it, so the minimum takes off the rim of the brain, where
            healthy residuals are highest: on the validation subjects that finds more than leaving voxels outside the
            mask out of the count (voxel AP 0.39 against 0.36).
        mode: "none", "2d" (3×3, 7×7), "3d" (3×3×3, 3×7×7; slices first) or "smooth" (SD 1.5 voxels).
        paper_faithful: count what lies beyond the picture as zero, which dims the border.
        present: bool (n,), slices that have a score; all when not given. The others are as if beyond the picture.

    Returns:
        (n, H, W), zero outside the mask and in slices that are not present.
    """
    there = torch.ones(len(score), dtype=torch.bool, device=score.device) if present is None else present
    whole = bool(there.all())
    within = mask if whole else mask & there[:, None, None]
    score = score * within
    if mode == "none":
        return score
    if mode == "smooth":
        return (_gaussian(score) / _gaussian(within.to(score.dtype)).clamp_min(1e-3)).mul_(within)
    least, mean = SIZES[mode]
    # What lies beyond the picture is absent and dims nothing; in the reference code it counts as zero.
    beyond = 0.0 if paper_faithful else torch.inf
    lowest = _slide(score if whole else torch.where(there[:, None, None], score, beyond), least, torch.minimum, beyond)
    total = _slide(lowest if whole else torch.where(there[:, None, None], lowest, 0.0), mean, torch.add, 0.0)
    if paper_faithful:
        return total.div_(math.prod(mean)).mul_(within)
    # How many places each mean is over, axis by axis.
    for axis, size in enumerate(mean):
        places = there.float() if axis == 0 else score.new_ones(score.shape[axis])
        total /= _counted(places, size).clamp_min(1.0).view([-1 if a == axis else 1 for a in range(3)])
    return total.mul_(within)


def _gaussian(x: Tensor) -> Tensor:
    """A Gaussian filter, one axis after the other; zero beyond."""
    taps = [math.exp(-0.5 * (i / SIGMA) ** 2) for i in range(RADIUS + 1)]
    total = taps[0] + 2 * sum(taps[1:])
    for axis in range(3):
        n, y = x.shape[axis], x * (taps[0] / total)
        for shift, tap in enumerate(taps[1:], start=1):
            if shift < n:
                y.narrow(axis, shift, n - shift).add_(x.narrow(axis, 0, n - shift), alpha=tap / total)
                y.narrow(axis, 0, n - shift).add_(x.narrow(axis, shift, n - shift), alpha=tap / total)
        x = y
    return x


def _counted(there: Tensor, size: int) -> Tensor:
    """How many of the `size` places around each one are there, along one axis: (n,) → (n,)."""
    return F.avg_pool1d(there[None], size, 1, size // 2)[0] * size


def _slide(x: Tensor, sizes: tuple[int, int, int], join: Callable[..., Tensor], beyond: float) -> Tensor:
    """A box filter, one axis after the other (minimum and sum are separable); `beyond` stands outside the picture."""
    for axis, size in enumerate(sizes):
        if size > 1:
            margin = [0, 0, 0, 0, 0, 0]
            margin[2 * (2 - axis)] = margin[2 * (2 - axis) + 1] = size // 2
            padded, n = F.pad(x, margin, value=beyond), x.shape[axis]
            # The picture joined with itself, shifted: several times as quick as torch's pooling on a CPU.
            x = join(padded.narrow(axis, 0, n), padded.narrow(axis, 1, n))
            for shift in range(2, size):
                join(x, padded.narrow(axis, shift, n), out=x)
    return x
