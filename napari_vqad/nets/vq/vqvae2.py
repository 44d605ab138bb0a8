"""The VQ-VAE-2 tokenizer: a coarse level of codes, and a fine level that adds the detail (Razavi et al. 2019)."""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.blocks import PositionFeatures
from napari_vqad.nets.encoder_decoder import Decoder, Encoder, Level
from napari_vqad.nets.vq.codebook import Codebook, LatentLosses
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.vqvae import SizesOfTokenizer


class VQVAE2Config(SizesOfTokenizer):
    """Sizes of the fine level, as of a VQ-VAE, and of the coarse level, which has half the resolution."""

    kind: Literal["vqvae2"] = "vqvae2"
    top_channels: int = Field(128, ge=1, le=4096, description="channels of the coarse level")
    top_blocks: int = Field(2, ge=1, le=32, description="residual blocks of the coarse level")

    @model_validator(mode="after")
    def _no_context(self) -> Self:
        if self.context:
            raise ValueError("a VQ-VAE-2 has its coarse level and no context")
        return self

    def levels(self, shape: tuple[int, int]) -> CodeLevels:
        """Return the two levels of codes of a slice of `shape` pixels.

        Raises:
            ValueError: the fine level has an odd side.
        """
        h, w = (side // self.stride for side in shape)
        if h % 2 or w % 2:
            raise ValueError(f"a fine level of {h}×{w} codes has no level half as fine")
        return CodeLevels((h // 2, w // 2), (h, w))


class VQVAE2(nn.Module):
    """Encoder, two codebooks and decoder, conditioned on the slice position.

    top      =  quantise(coarsen(encoder(Y)))
    bottom   =  quantise(merge(encoder(Y), up(top)))
    X        =  decoder(bottom + up(top))
    """

    def __init__(self, config: VQVAE2Config) -> None:
        super().__init__()
        self.config = config
        self.n_codes, self.stride = config.n_codes, config.stride
        self.position = PositionFeatures(config.condition)
        self.encoder = Encoder(config)
        self.coarsen = Coarsen(config)
        self.top = Codebook(config.n_codes, config.code_dim)
        self.up = nn.Sequential(nn.Conv2d(config.code_dim, 4 * config.code_dim, 3, padding=1), nn.PixelShuffle(2))
        self.merge = nn.Conv2d(2 * config.code_dim, config.code_dim, 1)
        self.bottom = Codebook(config.n_codes, config.code_dim)
        self.decoder = Decoder(config)

    def forward(self, slices: Tensor, position: Tensor) -> tuple[Tensor, Tensor, LatentLosses]:
        """Slices (B, 1, H, W) → reconstruction (B, 1, H, W), codes of both levels (B, N), losses of both codebooks.

        Codes of the bottom level are K or above, because they belong to another codebook.
        """
        condition = self.position(position)
        seen = self.encoder(slices, condition)
        coarse, top, towards_top = self.top(self.coarsen(seen, condition))
        above = self.up(coarse)
        fine, bottom, towards_bottom = self.bottom(self.merge(torch.cat([seen, above], 1)))
        codes = torch.cat([top.flatten(1), bottom.flatten(1) + self.n_codes], 1)
        losses = LatentLosses(*(a + b for a, b in zip(towards_top, towards_bottom, strict=True)))
        return self.decoder(fine + above, condition), codes, losses

    def features(self, slices: Tensor, position: Tensor) -> list[Tensor]:
        """Compute the encoder's features of slices (B, 1, H, W) at each level, (B, C, h, w), fine to coarse."""
        return self.encoder.features(slices, self.position(position))

    def encode(self, slices: Tensor, position: Tensor) -> Tensor:
        """Encode slices (B, 1, H, W) as codes of both levels in one grid (see `CodeLevels`)."""
        condition = self.position(position)
        seen = self.encoder(slices, condition)
        top = self.top.nearest(self.coarsen(seen, condition))
        above = self.up(self.top.lookup(top))
        bottom = self.bottom.nearest(self.merge(torch.cat([seen, above], 1)))
        return self.config.levels((slices.shape[2], slices.shape[3])).join([top, bottom])

    def decode(self, codes: Tensor, position: Tensor) -> Tensor:
        """Decode codes of both levels in one grid to slices (B, 1, H, W)."""
        # The top level has half as many rows as the bottom level, so it is the upper third of the grid.
        h, w = codes.shape[1] // 3, codes.shape[2] // 2
        top, bottom = CodeLevels((h, w), (2 * h, 2 * w)).split(codes)
        latents = self.bottom.lookup(bottom) + self.up(self.top.lookup(top))
        return self.decoder(latents, self.position(position))


class Coarsen(nn.Module):
    """Latents of the fine level (B, D, h, w) → latents of the coarse level (B, D, h/2, w/2)."""

    def __init__(self, config: VQVAE2Config) -> None:
        super().__init__()
        self.down = nn.Conv2d(config.code_dim, config.top_channels, 4, stride=2, padding=1)
        self.level = Level(config.top_channels, config.top_blocks, config)
        self.out = nn.Conv2d(config.top_channels, config.code_dim, 1)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, D, h, w) and (B, condition) → (B, D, h/2, w/2)."""
        return self.out(F.silu(self.level(self.down(x), condition)))
