"""Pooling of the pixel score: removes thin structures and joins neighbouring voxels.

"2d": a minimum over 3×3, then an average over 7×7 pixels of a slice, as Marimont & Tarroni 2020 print it (§2.4). "3d":
over 3×3×3 and 3×7×7 voxels, as in the authors' code.
"2d-each": the minimum of each restoration's weighted residual, then their sum, then the average (Ishii 2023, eq. 12).
"smooth": a Gaussian average within the brain. Where a difference changes sign from voxel to voxel, the minimum of its
magnitude over 27 voxels is almost zero, so the minimum misses disturbed texture. "smooth" keeps it; normative maps
correct for residuals at healthy edges.
"baur": a 5×5×5 median, then zero at the rim of the mask (Baur et al. 2018, steps 1 and 2 of their post-processing;
steps 3 and 4, a threshold and a smallest component, are settings: `settings.PRESETS`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

SIZES = {
    "2d": ((1, 3, 3), (1, 7, 7)),
    "2d-each": ((1, 1, 1), (1, 7, 7)),  # its minimum is that of `sum_of_minima`
    "3d": ((3, 3, 3), (3, 7, 7)),
}
SIGMA, RADIUS = 1.5, 5  # voxels, of "smooth"
MEDIAN, RIM = 5, 1  # voxels, of "baur": side of the median's cube, and depth of the rim ("slightly eroded")
# Slices on each side that a slice's pooled score depends on.
REACH = {"none": 0, "2d": 0, "2d-each": 0, "3d": 2, "smooth": RADIUS, "baur": MEDIAN // 2}


def pool(
    score: Tensor, mask: Tensor, mode: str = "2d", paper_faithful: bool = False, present: Tensor | None = None
) -> Tensor:
    """Compute AS_pixel = average(minimum(score)).

    Args:
        score: (n, H, W), consecutive slices.
        mask: bool (n, H, W). The score is set to zero outside it, so the minimum removes the rim of the brain, where
            healthy residuals are highest. On the validation subjects this was better than excluding voxels outside the
            mask (voxel AP 0.39 against 0.36).
        mode: "none", "2d" (3×3, 7×7), "2d-each" (7×7 of a map of `sum_of_minima`), "3d" (3×3×3, 3×7×7; slices first),
            "smooth" (SD 1.5 voxels), or "baur" (median 5×5×5; zero in the outermost voxel of the mask, too).
        paper_faithful: count voxels beyond the picture as zero, which lowers scores at the border.
        present: bool (n,), slices that have a score; by default all. Others are treated as beyond the picture.

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
    if mode == "baur":
        known = there | ~mask.flatten(1).any(1)  # a slice without brain has no residual
        median = torch.from_numpy(_median(score.cpu().numpy(), known.cpu().numpy())).to(score.device)
        return median.mul_(torch.from_numpy(judged(mask.cpu().numpy(), mode)).to(score.device) & within)
    least, mean = SIZES[mode]
    # Voxels beyond the picture are ignored; the reference code counts them as zero.
    beyond = 0.0 if paper_faithful else torch.inf
    lowest = _slide(score if whole else torch.where(there[:, None, None], score, beyond), least, torch.minimum, beyond)
    total = _slide(lowest if whole else torch.where(there[:, None, None], lowest, 0.0), mean, torch.add, 0.0)
    if paper_faithful:
        return total.div_(math.prod(mean)).mul_(within)
    # Divide by the number of voxels in each mean, axis by axis.
    for axis, size in enumerate(mean):
        places = there.float() if axis == 0 else score.new_ones(score.shape[axis])
        total /= _counted(places, size).clamp_min(1.0).view([-1 if a == axis else 1 for a in range(3)])
    return total.mul_(within)


def sum_of_minima(weights: Tensor, residuals: Tensor, mask: Tensor, paper_faithful: bool = False) -> Tensor:
    """Compute Σ_j minimum(w_j R_j) with a minimum over 3×3 pixels: (S,), (S, H, W) and bool (H, W) → (H, W).

    Its average is AS_pixel of Ishii 2023, eq. 12, Σ_j average(minimum(w_j R_j)), as an average of a sum is the sum of
    the averages. The minimum of a sum is not; that of Σ_j w_j R_j, which "2d" computes, is at least as large.
    Residuals outside the mask count as zero, and pixels beyond the picture as in `pool`.
    """
    least, beyond = SIZES["2d"][0], 0.0 if paper_faithful else torch.inf
    return torch.tensordot(weights, _slide(residuals * mask, least, torch.minimum, beyond), 1)


def judged(mask: NDArray[np.bool_], mode: str) -> NDArray[np.bool_]:
    """Mask the voxels that a mode of pooling can give a score, bool (n, H, W): all of the mask, or without its rim.

    Healthy quantiles are over these voxels. The edge of the grid is not a rim.
    """
    return ndimage.binary_erosion(mask, iterations=RIM, border_value=1) if mode == "baur" else mask


def _median(score: NDArray, present: NDArray[np.bool_]) -> NDArray:
    """Apply a median filter, (n, H, W); voxels beyond the picture equal the nearest ones in it.

    In place of a slice that is not present, or beyond the stack, the next one towards the slice in hand is used.
    """
    far, n = MEDIAN // 2, len(score)
    found = ndimage.median_filter(score, MEDIAN, mode="nearest")
    for i in np.flatnonzero(present):
        around = [int(i)] * MEDIAN
        for step in (-1, 1):
            for d in range(1, far + 1):
                j = i + step * d
                before = around[far + step * (d - 1)]
                around[far + step * d] = int(j) if 0 <= j < n and present[j] else before
        if around != list(range(i - far, i + far + 1)):
            found[i] = ndimage.median_filter(score[around], MEDIAN, mode="nearest")[far]
    return found


def _gaussian(x: Tensor) -> Tensor:
    """Apply a Gaussian filter, axis by axis, with zeros beyond the array."""
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
    """Count the valid elements among the `size` around each one, along one axis: (n,) → (n,)."""
    return F.avg_pool1d(there[None], size, 1, size // 2)[0] * size


def _slide(x: Tensor, sizes: tuple[int, int, int], join: Callable[..., Tensor], beyond: float) -> Tensor:
    """Apply a box filter, axis by axis (minimum and sum are separable); `beyond` is the value outside the picture."""
    for axis, size in enumerate(sizes):
        if size > 1:
            margin = [0, 0, 0, 0, 0, 0]
            margin[2 * (2 - axis)] = margin[2 * (2 - axis) + 1] = size // 2
            padded, n = F.pad(x, margin, value=beyond), x.shape[axis]
            # Combining shifted copies of the array is several times as fast as torch's pooling on a CPU.
            x = join(padded.narrow(axis, 0, n), padded.narrow(axis, 1, n))
            for shift in range(2, size):
                join(x, padded.narrow(axis, shift, n), out=x)
    return x
