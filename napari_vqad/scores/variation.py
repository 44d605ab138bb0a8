"""How much restorations, and the scores that are made of them, vary from draw to draw."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from napari_vqad.scores.pooling import pool, sum_of_minima
from napari_vqad.scores.weighting import consolidate, distance, residual, weights


class Variance(NamedTuple):
    """Variances summed over voxels, and the number of voxels; sums of several scans give their common mean."""

    total: float
    voxels: int

    @property
    def sd(self) -> float:
        """√(mean variance of a voxel)."""
        return (self.total / self.voxels) ** 0.5 if self.voxels else float("nan")


def variance(maps: Tensor, mask: Tensor) -> Variance:
    """Compute Σ_i Σ_j (M_ij − M̄_i)² / (m − 1) over the voxels i of the mask: (m, n, H, W) and bool (n, H, W).

    M_j is a restoration, or a score made of some restorations; m ≥ 2. The divisor m − 1 makes the result independent of
    m, on average, so that three scores of five restorations compare with fifteen of one.
    """
    return Variance(float(maps.var(0, correction=1)[mask].double().sum()), int(mask.sum()))


def scores_of_groups(
    differences: Tensor, mask: Tensor, size: int, k: float, kind: str = "mean", pooling: str = "2d"
) -> Tensor:
    """Compute AS_pixel anew from each `size` of S restorations, which draw independently: (⌊S/size⌋, n, H, W).

    Args:
        differences: Y − X_j, (S, n, H, W), SD.
        mask: bool (n, H, W).
        size: restorations that a score is made of.
        k, kind: of the weights and the distance (`scores.weighting`).
        pooling: of the score (`scores.pooling`).
    """
    found = []
    for group in differences.split(size):
        if len(group) == size:
            residuals = residual(group.clone()).movedim(0, 1)  # in place
            w = weights(distance(residuals, mask, kind), k)
            if pooling == "2d-each":
                summed = torch.stack([sum_of_minima(*of_slice) for of_slice in zip(w, residuals, mask, strict=True)])
            else:
                summed = consolidate(w, residuals) * mask
            found.append(pool(summed, mask, pooling))
    return torch.stack(found)
