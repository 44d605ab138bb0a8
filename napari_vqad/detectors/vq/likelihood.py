"""Negative log-likelihood (NLL) of codes, and AS_sample of slices (Marimont & Tarroni 2020, §2.2 and §2.3)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_vqad.nets.vq.kv_cache import RowCache
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.protocols import Prior, ResumingPrior


def log_probabilities(prior: Prior, codes: Tensor, position: Tensor, memory: RowCache | None = None) -> Tensor:
    """Compute ln p(c | x_<i) for every code c and place i: (B, h, w) → (B, K, h, w), float32.

    It uses log_softmax, because log(softmax) gives −∞ for very unlikely codes. With `memory` and a prior that can
    resume, `codes` are the rows from `memory.row` on, and the prior stores its activations in `memory`.
    """
    if memory is not None and isinstance(prior, ResumingPrior):
        logits = prior.resume(codes, position, memory)
    else:
        logits = prior.logits(codes, position)
    return F.log_softmax(logits.float(), dim=1)[:, : prior.n_codes]


def nll(log_p: Tensor, codes: Tensor) -> Tensor:
    """Compute ℓ_i = −ln p(x_i | x_<i), nats: (B, K, h, w) and (B, h, w) → (B, h, w)."""
    return -log_p.gather(1, codes[:, None])[:, 0]


def sample_score(nll: Tensor, lambda_s: float) -> Tensor:
    """Compute AS_sample = Σ_i ℓ_i·[ℓ_i > λ_s], nats: (B, h, w) → (B,)."""
    return torch.where(nll > lambda_s, nll, 0.0).flatten(1).sum(1)


def upsample(nll: Tensor, shape: tuple[int, int], smooth: bool = True) -> Tensor:
    """Resample the NLL of codes to pixels, nats: (B, h, w) → (B, H, W), bilinear, or nearest if not `smooth`."""
    mode = {"mode": "bilinear", "align_corners": False} if smooth else {"mode": "nearest"}
    return F.interpolate(nll[:, None], shape, **mode)[:, 0]


def on_pixels(nll: Tensor, levels: CodeLevels, shape: tuple[int, int], level: str = "all") -> Tensor:
    """Compute the NLL of each pixel, from the codes of one level or of all: (B, rows, columns) → (B, H, W).

    For one level, the unit is nats per code. For "all", it is nats per area of a fine code:
    Σ_l ℓ_l · (number of codes of level l / number of fine codes).
    """
    parts = levels.split(nll)
    if level in levels.names:
        return upsample(parts[levels.names.index(level)], shape)
    fine = parts[-1][0].numel()
    return torch.stack([upsample(part, shape) * (part[0].numel() / fine) for part in parts]).sum(0)
