"""Augmentation of Marimont & Tarroni 2020: elastic, scale, rotation, brightness and contrast, blur, noise.

All functions work on batches of slices on the device. They use the generator given, so they are reproducible.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def augment(
    slices: Tensor, mask: Tensor, background: float, rng: torch.Generator, sway: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Augment slices (B, 1, H, W) in SD and masks (B, 1, H, W) in 0..1: the same warp for both, then new intensities.

    `sway` scales rotation, scale and shift; aligned heads need less. With 0, slices are not warped or mirrored at all,
    as for a fixed camera.
    """
    if sway:
        moved = warp(torch.cat([slices - background, mask], 1), rng, sway)
        slices, mask = moved[:, :1] + background, (moved[:, 1:] > 0.5).to(slices.dtype)
    slices = recolour(slices, rng)
    return torch.where(mask > 0, slices, torch.full_like(slices, background)), mask


def soften(slices: Tensor, mask: Tensor, background: float, rng: torch.Generator) -> Tensor:
    """Blur slices within the mask: only for inputs of a network, never for its targets.

    With blurred targets, networks gave blurred pictures: after blur and the warp's interpolation, a target had 62 % of
    a scan's gradient energy.
    """
    return torch.where(mask > 0, blur(slices, rng), torch.full_like(slices, background))


def warp(images: Tensor, rng: torch.Generator, sway: float = 1.0) -> Tensor:
    """Warp images: rotation ±8°, scale ±10 %, shift ±4 pixels (all times `sway`), mirror, elastic ≈ 1.5 pixels."""
    b, _, h, w = images.shape
    angle = _uniform(b, -1, 1, rng, images) * math.radians(8.0 * sway)
    scale = 1.0 + sway * _uniform(b, -0.1, 0.1, rng, images)
    mirror = torch.where(_uniform(b, 0, 1, rng, images) < 0.5, -1.0, 1.0)
    shift = sway * torch.stack([_uniform(b, -8, 8, rng, images) / w, _uniform(b, -8, 8, rng, images) / h], 1)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    # The first axis of a slice runs from the patient's left to right, so the second coordinate is mirrored.
    theta = torch.stack([cos, -sin * h / w, shift[:, 0], mirror * sin * w / h, mirror * cos, shift[:, 1]], 1)
    field = F.affine_grid(theta.view(b, 2, 3), [b, 1, h, w], align_corners=False)
    coarse = torch.randn(b, 2, 6, 8, generator=rng, device=images.device, dtype=images.dtype)
    strength = 3.0 * _uniform(b, 0, 1, rng, images).view(b, 1, 1, 1)
    elastic = F.interpolate(coarse * strength, (h, w), mode="bicubic", align_corners=False)
    elastic = elastic / torch.tensor([w, h], device=images.device, dtype=images.dtype).view(1, 2, 1, 1)
    field = field + elastic.permute(0, 2, 3, 1)
    return F.grid_sample(images, field, mode="bilinear", padding_mode="zeros", align_corners=False)


def recolour(slices: Tensor, rng: torch.Generator) -> Tensor:
    """Change contrast by ±15 % and brightness by ±0.15 SD, and add a smooth bias field of about 0.1 SD."""
    b, _, h, w = slices.shape
    contrast = 1.0 + _uniform(b, -0.15, 0.15, rng, slices).view(b, 1, 1, 1)
    brightness = _uniform(b, -0.15, 0.15, rng, slices).view(b, 1, 1, 1)
    coarse = 0.1 * torch.randn(b, 1, 3, 3, generator=rng, device=slices.device, dtype=slices.dtype)
    return slices * contrast + brightness + F.interpolate(coarse, (h, w), mode="bicubic", align_corners=False)


def blur(slices: Tensor, rng: torch.Generator) -> Tensor:
    """Filter each slice with [a, 1 − 2a, a] along both axes, with its own a from 0 to 0.12."""
    b, _, h, w = slices.shape
    a = _uniform(b, 0, 0.12, rng, slices)
    taps = torch.stack([a, 1 - 2 * a, a], 1)
    x = F.pad(slices, (1, 1, 1, 1), mode="replicate").view(1, b, h + 2, w + 2)
    x = F.conv2d(x, taps.view(b, 1, 3, 1), groups=b)
    return F.conv2d(x, taps.view(b, 1, 1, 3), groups=b).view(b, 1, h, w)


def add_noise(slices: Tensor, mask: Tensor, rng: torch.Generator) -> Tensor:
    """Add Gaussian noise within the mask, with an SD from 0 to 0.1 of that of healthy intensity."""
    sd = _uniform(len(slices), 0, 0.1, rng, slices).view(-1, 1, 1, 1)
    return slices + mask * sd * torch.randn(slices.shape, generator=rng, device=slices.device, dtype=slices.dtype)


def _uniform(n: int, low: float, high: float, rng: torch.Generator, like: Tensor) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=rng, device=like.device, dtype=like.dtype)
