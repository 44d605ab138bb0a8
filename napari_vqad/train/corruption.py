"""Corruption of training slices, for a tokenizer that restores.

A tokenizer trained only to reproduce healthy slices also reproduces lesions. If it is trained to give the clean slice
from one with corrupted patches, its codes become those of the healthy slice (denoising autoencoders: Vincent et al.
2008; for brain anomalies Kascenas et al. 2022). The patches are irregular smooth blobs that do not imitate lesions.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

GRAINS = (2, 4, 8)  # pixels


def corrupt(slices: Tensor, mask: Tensor, rng: torch.Generator, share: float = 0.75, most: int = 3) -> Tensor:
    """Corrupt up to `most` patches in a `share` of the slices (B, 1, H, W), SD; nothing outside the mask changes."""
    corrupted = slices
    for _ in range(most):
        patch = blob(mask, rng) * mask
        chosen = (torch.rand(len(slices), 1, 1, 1, generator=rng, device=slices.device) < share / most * 1.6).float()
        corrupted = torch.lerp(corrupted, replacement(corrupted, rng), patch * chosen)
    return corrupted


def blob(mask: Tensor, rng: torch.Generator) -> Tensor:
    """Draw an irregular soft patch (B, 1, H, W), 0..1, at a random place of each mask, radius 3 to 14 pixels."""
    b, _, h, w = mask.shape
    inside = mask.reshape(b, -1) + 1e-6
    place = torch.multinomial(inside, 1, generator=rng)
    rows = torch.arange(h, device=mask.device).view(1, 1, h, 1)
    columns = torch.arange(w, device=mask.device).view(1, 1, 1, w)
    radius = _uniform(b, 3.0, 14.0, rng, mask)
    distance = torch.sqrt(
        (rows - (place // w).view(b, 1, 1, 1)) ** 2.0 + (columns - (place % w).view(b, 1, 1, 1)) ** 2.0
    )
    bumps = F.interpolate(_normal((b, 1, 8, 10), rng, mask), (h, w), mode="bicubic", align_corners=False)
    sharpness = _uniform(b, 0.5, 3.0, rng, mask)
    return torch.sigmoid(sharpness * (radius * (1.0 + 0.35 * bumps) - distance))


def replacement(slices: Tensor, rng: torch.Generator) -> Tensor:
    """Draw the content of patches: a constant, the slice with an offset, or noise of one of three grain sizes."""
    b, _, h, w = slices.shape
    level = _uniform(b, -2.5, 3.0, rng, slices).expand_as(slices)
    sign = torch.where(_uniform(b, 0, 1, rng, slices) < 0.5, -1.0, 1.0)
    offset = slices + sign * _uniform(b, 0.5, 2.5, rng, slices)
    grains = torch.stack(
        [
            F.interpolate(_normal((b, 1, h // n, w // n), rng, slices), (h, w), mode="bilinear", align_corners=False)
            for n in GRAINS
        ]
    )
    which = torch.randint(len(GRAINS), (b,), generator=rng, device=slices.device)
    grain = grains[which, torch.arange(b, device=slices.device)]
    kept = (_uniform(b, 0, 1, rng, slices) < 0.5).to(slices.dtype)
    noise = kept * slices + _uniform(b, 0.3, 1.5, rng, slices) * grain
    kind = torch.randint(3, (b, 1, 1, 1), generator=rng, device=slices.device)
    mixed = torch.where(kind == 0, level, torch.where(kind == 1, offset, noise))
    fine = 0.15 * _uniform(b, 0, 1, rng, slices) * _normal(slices.shape, rng, slices)
    return mixed + fine


def _uniform(n: int, low: float, high: float, rng: torch.Generator, like: Tensor) -> Tensor:
    u = torch.rand(n, 1, 1, 1, generator=rng, device=like.device, dtype=like.dtype)
    return low + (high - low) * u


def _normal(shape: tuple[int, ...] | torch.Size, rng: torch.Generator, like: Tensor) -> Tensor:
    return torch.randn(shape, generator=rng, device=like.device, dtype=like.dtype)
