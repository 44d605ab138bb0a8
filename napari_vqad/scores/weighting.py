"""Combines S restorations of a slice into one residual (Marimont & Tarroni 2020, §2.4)."""

from __future__ import annotations

import torch
from torch import Tensor


def residual(difference: Tensor) -> Tensor:
    """Compute R_j = |Y − X_j| from the signed difference, in SD of healthy intensity, float32."""
    return difference.float().abs_()


def distance(residuals: Tensor, mask: Tensor, kind: str = "mean", paper_faithful: bool = False) -> Tensor:
    """Compute d_j, the distance of each restoration from its slice: (B, S, H, W) and bool (B, H, W) → (B, S).

    `kind` is "mean" over the slice, as in the authors' code, or "sum", as in the paper. Both are computed within the
    mask: at the top of the brain, a mean over the whole picture is small only because most of it is background, and
    would sharpen the weights. `paper_faithful` uses the whole picture.
    """
    area = torch.ones_like(mask, dtype=torch.float32) if paper_faithful else mask.float()
    total = torch.bmm(residuals.flatten(2), area.flatten(1)[:, :, None])[:, :, 0]
    return total if kind == "sum" else total / area.sum((1, 2)).clamp_min(1.0)[:, None]


def weights(distances: Tensor, k: float, paper_faithful: bool = False) -> Tensor:
    """Compute w_j = softmax_j(k / d_j): (B, S) → (B, S).

    If a restoration equals its slice, d_j = 0 and the reference code's weights are NaN; here such restorations share
    the whole weight, which is the limit of d_j → 0.
    """
    return torch.softmax(k / (distances if paper_faithful else distances.clamp_min(1e-6)), dim=1)


def consolidate(weights: Tensor, maps: Tensor) -> Tensor:
    """Compute Σ_j w_j M_j: (B, S) and (B, S, H, W) → (B, H, W), float32; M_j is a residual or a restoration."""
    return torch.bmm(weights[:, None].float(), maps.float().flatten(2)).view(maps.shape[0], *maps.shape[2:])


def disagreement(maps: Tensor) -> Tensor:
    """Compute √(Σ_j (M_j − M̄)² / S), M̄ = Σ_j M_j / S: (B, S, H, W) → (B, H, W), in the unit of the maps.

    Restorations and their differences from the scan give the same result, since the scan is constant over j. It is not
    weighted: a large k would give one restoration all the weight and hide the others.
    """
    return maps.float().std(1, correction=0)
