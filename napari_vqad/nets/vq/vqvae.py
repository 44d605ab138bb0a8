"""The VQ-VAE tokenizer: slice → grid of codes → slice (van den Oord et al. 2017; sizes of Marimont & Tarroni 2020)."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from napari_vqad.nets.blocks import PositionFeatures
from napari_vqad.nets.encoder_decoder import Decoder, Encoder, SizesOfEncoder
from napari_vqad.nets.vq.codebook import Codebook, LatentLosses
from napari_vqad.nets.vq.levels import CodeLevels


class Tokenizer(Protocol):
    """The interface of a tokenizer."""

    n_codes: int
    stride: int

    def encode(self, slices: Tensor, position: Tensor) -> Tensor:
        """Encode slices (B, 1, H, W) in SD as codes (B, h, w), int64, in the grid of the config's `levels`."""

    def decode(self, codes: Tensor, position: Tensor) -> Tensor:
        """Decode codes (B, h, w) to slices (B, 1, H, W) in SD."""


MOST_CODES = 2**15  # codes are stored as int16


class SizesOfTokenizer(SizesOfEncoder):
    """Sizes of a tokenizer with this encoder and decoder."""

    n_codes: int = Field(128, ge=2, le=MOST_CODES, description="K, size of the codebook")


class TokenizerConfig(SizesOfTokenizer):
    """Sizes of the VQ-VAE; those of Marimont & Tarroni 2020 are in the recipe paper-160."""

    kind: Literal["vqvae"] = "vqvae"

    def levels(self, shape: tuple[int, int]) -> CodeLevels:
        """Return the single level of codes of a slice of `shape` pixels."""
        return CodeLevels((shape[0] // self.stride, shape[1] // self.stride))


class VQVAE(nn.Module):
    """Encoder, codebook and decoder, conditioned on the slice position."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        self.n_codes, self.stride = config.n_codes, config.stride
        self.position = PositionFeatures(config.condition)
        self.encoder = Encoder(config)
        self.codebook = Codebook(config.n_codes, config.code_dim)
        self.decoder = Decoder(config)

    def forward(self, slices: Tensor, position: Tensor) -> tuple[Tensor, Tensor, LatentLosses]:
        """Slices (B, 1, H, W) → reconstruction (B, 1, H, W), codes (B, h, w), losses of latents and codebook."""
        condition = self.position(position)
        quantised, codes, losses = self.codebook(self.encoder(slices, condition))
        return self.decoder(quantised, condition), codes, losses

    def features(self, slices: Tensor, position: Tensor) -> list[Tensor]:
        """Compute the encoder's features of slices (B, 1, H, W) at each level, (B, C, h, w), fine to coarse."""
        return self.encoder.features(slices, self.position(position))

    def encode(self, slices: Tensor, position: Tensor) -> Tensor:
        """Encode slices (B, 1, H, W) as codes (B, h, w)."""
        return self.codebook.nearest(self.encoder(slices, self.position(position)))

    def decode(self, codes: Tensor, position: Tensor) -> Tensor:
        """Decode codes (B, h, w) to slices (B, 1, H, W)."""
        return self.decoder(self.codebook.lookup(codes), self.position(position))


@torch.no_grad()
def reconstruct(tokenizer: Tokenizer, slices: Tensor, position: Tensor) -> Tensor:
    """Encode and decode slices: (B, 1, H, W)."""
    return tokenizer.decode(tokenizer.encode(slices, position), position)
