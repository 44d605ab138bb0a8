"""From S restorations of a slice to one residual (Marimont & Tarroni 2020, §2.4)."""

from __future__ import annotations

import torch
from torch import Tensor


def residual(difference: Tensor) -> Tensor:
    """R_j = |Y − X_j|, SD of healthy intensity, from the signed difference."""
    return difference.abs()


def distance(residuals: Tensor, mask: Tensor, kind: str = "mean", paper_faithful: bool = False) -> Tensor:
    """d_j, how far each restoration is from its slice: (B, S, H, W) and (B, H, W) → (B, S).

    The mean is over the mask, not over the slice as in the authors' code: there a slice at the top of the brain has
    small distances only because it is mostly background, and its weights sharpen. `paper_faithful` brings it back.
    """
    if paper_faithful or kind == "sum":
        return residuals.float().mean((2, 3)) if kind == "mean" else residuals.float().sum((2, 3))
    inside = mask[:, None].to(residuals.dtype)
    return (residuals * inside).float().sum((2, 3)) / mask.float().sum((1, 2)).clamp_min(1.0)[:, None]


def weights(distances: Tensor, k: float, paper_faithful: bool = False) -> Tensor:
    """w_j = softmax_j(k / d_j): (B, S) → (B, S).

    Where a restoration equals its slice, d_j = 0 and the reference code's weights are NaN; here such restorations
    share the whole weight, which is the limit of d_j → 0.
    """
    return torch.softmax(k / (distances if paper_faithful else distances.clamp_min(1e-6)), dim=1)


def consolidate(weights: Tensor, maps: Tensor) -> Tensor:
    """Σ_j w_j M_j: (B, S) and (B, S, H, W) → (B, H, W), float32; M_j is a residual, or a restoration."""
    return torch.einsum("bs,bshw->bhw", weights.float(), maps.float())
