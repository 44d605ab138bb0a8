"""A small 3D U-Net for the brain mask of a whole head (Ronneberger et al. 2015; Çiçek et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet3d(nn.Module):
    """Volumes (B, 1, X, Y, Z) → logits of the same shape; sides must be divisible by 2^(levels − 1)."""

    def __init__(self, channels: tuple[int, ...] = (8, 16, 32, 48)) -> None:
        super().__init__()
        self.down = nn.ModuleList(_pair(a, b) for a, b in zip((1, *channels[:-1]), channels, strict=True))
        self.up = nn.ModuleList(_pair(a + b, b) for a, b in zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.out = nn.Conv3d(channels[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, X, Y, Z) → logits of the same shape."""
        skips = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool3d(x, 2) if i else x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(torch.cat([x, skips.pop()], 1))
        return self.out(x)


def _pair(a: int, b: int) -> nn.Sequential:
    def one(a: int, b: int) -> list[nn.Module]:
        # Group norm makes the mask independent of the scanner's intensities; it need not be local.
        return [nn.Conv3d(a, b, 3, padding=1, bias=False), nn.GroupNorm(4, b), nn.SiLU()]

    return nn.Sequential(*one(a, b), *one(b, b))
