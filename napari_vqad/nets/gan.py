"""Generator and discriminator of whole slices, after DCGAN (Radford et al. 2016); AnoGAN uses both (Schlegl 2017).

    X = G(z),  z ~ N(0, I)          D(X): high where a slice looks real          f(X): features before D's last layer

Both may be conditioned on the slice position. The generator gets it together with z; the discriminator compares it with
the features (projection discriminator, Miyato & Koyama 2018).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.blocks import PositionFeatures

# These bounds are far above useful sizes. Without them, a damaged config could ask for more memory than there is.
Channels = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(min_length=2, max_length=9)]


class GanSizes(BaseModel):
    """Sizes of generator and discriminator."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latent: int = Field(64, ge=1, le=65536, description="numbers of z")
    channels: Channels = Field((24, 48, 80, 64), description="of each resolution, fine to coarse; one halving between")
    condition: int = Field(16, ge=0, le=4096, description="features of the slice position; 0: not conditioned on it")

    @property
    def stride(self) -> int:
        """Pixels per place of the coarsest grid, along each axis."""
        return int(2 ** (len(self.channels) - 1))

    def grid(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the coarsest grid, (h, w), for slices of `shape` pixels.

        Raises:
            ValueError: a side of the slice is not a multiple of the stride.
        """
        if any(side % self.stride for side in shape):
            raise ValueError(f"a slice of {shape[0]}×{shape[1]} pixels is no whole number of {self.stride} pixels")
        return shape[0] // self.stride, shape[1] // self.stride


class Generator(nn.Module):
    """A dense layer, then upsampling and convolutions with batch normalisation."""

    def __init__(self, sizes: GanSizes, shape: tuple[int, int]) -> None:
        super().__init__()
        coarse_to_fine, grid = sizes.channels[::-1], sizes.grid(shape)
        self.position = PositionFeatures(sizes.condition) if sizes.condition else None
        flat = coarse_to_fine[0] * grid[0] * grid[1]
        self.dense = nn.Sequential(
            nn.Linear(sizes.latent + sizes.condition, flat), nn.Unflatten(1, (coarse_to_fine[0], *grid))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in coarse_to_fine)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(coarse_to_fine))
        self.out = nn.Conv2d(coarse_to_fine[-1], 1, 3, padding=1)

    def forward(self, z: Tensor, position: Tensor) -> Tensor:
        """Generate slices (B, 1, H, W) in SD from latents (B, latent) at positions (B,)."""
        given = z if self.position is None else torch.cat([z, self.position(position)], 1)
        x = F.relu(self.norms[0](self.dense(given)))
        for conv, norm in zip(self.convs, self.norms[1:], strict=True):
            x = F.relu(norm(conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))))
        return self.out(x)


class SliceDiscriminator(nn.Module):
    """Strided convolutions and a dense layer: one number for each slice.

    It has no normalisation layer, because the gradient penalty of the training needs each slice judged on its own.
    """

    def __init__(self, sizes: GanSizes, shape: tuple[int, int]) -> None:
        super().__init__()
        widths, (h, w) = (1, *sizes.channels[:-1]), sizes.grid(shape)
        last = sizes.channels[-1]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))
        self.last = nn.Conv2d(widths[-1], last, 3, padding=1)
        self.out = nn.Linear(last * h * w, 1)
        self.position = PositionFeatures(sizes.condition) if sizes.condition else None
        self.project = nn.Linear(sizes.condition, last) if sizes.condition else None

    def features(self, slices: Tensor) -> Tensor:
        """Compute the features f of slices (B, 1, H, W) in SD, the input of the last layer: (B, C, h, w)."""
        x = slices
        for layer in (*self.down, self.last):
            x = F.leaky_relu(layer(x), 0.2)
        return x

    def forward(self, slices: Tensor, position: Tensor) -> Tensor:
        """Judge slices (B, 1, H, W) in SD at positions (B,): (B,), high for slices that look real."""
        features = self.features(slices)
        score = self.out(features.flatten(1))[:, 0].float()
        if self.position is None or self.project is None:
            return score
        return score + (self.project(self.position(position)) * features.mean((2, 3))).sum(1)
