"""The VQ-VAE of Esser et al. 2021, which Ishii 2023 uses for his VQ-VAE and VQ-GAN (his tables 1 and 2).

Unlike `nets.vq.vqvae`, it has group normalisation and non-local blocks, so each code depends on the whole slice and
affects the whole decoded slice. It is not conditioned on the slice position.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.blocks import NonLocal
from napari_vqad.nets.vq.codebook import Codebook, LatentLosses
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.vqvae import MOST_CODES


class Stage(BaseModel):
    """One row of the paper's tables: residual blocks, and whether the resolution changes after them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(ge=1, le=4096, description="channels")
    blocks: int = Field(ge=1, le=32, description="residual blocks")
    non_local: bool = Field(False, description="a non-local block after each residual block")
    resample: bool = Field(True, description="halve (encoder) or double (decoder) the resolution at the end")


Stages = Annotated[tuple[Stage, ...], Field(min_length=1, max_length=12)]


class EsserConfig(BaseModel):
    """Sizes; the defaults are those of Ishii 2023, tables 1 and 2, with one grey channel for three colours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["vqvae-esser"] = "vqvae-esser"
    stem: int = Field(64, ge=1, le=4096, description="channels of the encoder's first convolution")
    encoder: Stages = (
        Stage(width=64, blocks=2),
        Stage(width=64, blocks=2),
        Stage(width=128, blocks=2),
        Stage(width=128, blocks=2, non_local=True),
        Stage(width=256, blocks=2, resample=False),
    )
    decoder: Stages = (
        Stage(width=256, blocks=3, non_local=True, resample=False),
        Stage(width=128, blocks=3, non_local=True),
        Stage(width=128, blocks=3),
        Stage(width=64, blocks=3),
        Stage(width=64, blocks=3),
    )
    n_codes: int = Field(128, ge=2, le=MOST_CODES, description="K, size of the codebook")
    code_dim: int = Field(256, ge=1, le=4096, description="D, length of a codebook vector")
    dropout: float = Field(0.0, ge=0, lt=1, description="in each residual block")

    @property
    def stride(self) -> int:
        """Pixels per code along each axis."""
        return 2 ** sum(stage.resample for stage in self.encoder)

    def levels(self, shape: tuple[int, int]) -> CodeLevels:
        """Return the single level of codes of a slice of `shape` pixels.

        Raises:
            ValueError: encoder and decoder change the resolution by different factors.
        """
        if 2 ** sum(stage.resample for stage in self.decoder) != self.stride:
            raise ValueError("encoder and decoder must have the same number of stages that resample")
        return CodeLevels((shape[0] // self.stride, shape[1] // self.stride))


class EsserVQVAE(nn.Module):
    """Encoder, codebook, decoder."""

    def __init__(self, config: EsserConfig) -> None:
        super().__init__()
        self.config = config
        self.n_codes, self.stride = config.n_codes, config.stride
        self.encoder = Encoder(config)
        self.codebook = Codebook(config.n_codes, config.code_dim)
        self.decoder = Decoder(config)

    def forward(self, slices: Tensor, position: Tensor) -> tuple[Tensor, Tensor, LatentLosses]:
        """Slices (B, 1, H, W) → reconstruction (B, 1, H, W), codes (B, h, w), losses; the position is not used."""
        quantised, codes, losses = self.codebook(self.encoder(slices))
        return self.decoder(quantised), codes, losses

    def encode(self, slices: Tensor, position: Tensor) -> Tensor:
        """Encode slices (B, 1, H, W) as codes (B, h, w)."""
        return self.codebook.nearest(self.encoder(slices))

    def decode(self, codes: Tensor, position: Tensor) -> Tensor:
        """Decode codes (B, h, w) to slices (B, 1, H, W)."""
        return self.decoder(self.codebook.lookup(codes))

    def features(self, slices: Tensor, position: Tensor) -> list[Tensor]:
        """Compute the encoder's features of slices (B, 1, H, W) after each stage, (B, C, h, w)."""
        return self.encoder.features(slices)


class Encoder(nn.Module):
    """Pixels → latents (B, D, h, w): table 1 of Ishii 2023."""

    def __init__(self, config: EsserConfig) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, config.stem, 3, padding=1)
        self.stages, width = nn.ModuleList(), config.stem
        for stage in config.encoder:
            after = (Halve(stage.width),) if stage.resample else ()
            self.stages.append(nn.Sequential(*_blocks(width, stage, config.dropout), *after))
            width = stage.width
        self.middle = _middle(width, config.dropout)
        self.norm = _groups(width)
        self.out = nn.Conv2d(width, config.code_dim, 3, padding=1)

    def forward(self, slices: Tensor) -> Tensor:
        """(B, 1, H, W) → (B, D, h, w)."""
        return self.out(F.silu(self.norm(self.middle(self.features(slices)[-1]))))

    def features(self, slices: Tensor) -> list[Tensor]:
        """(B, 1, H, W) → (B, C, h, w) after each stage."""
        x, found = self.stem(slices), []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found


class Decoder(nn.Module):
    """Latents (B, D, h, w) → pixels: table 2 of Ishii 2023."""

    def __init__(self, config: EsserConfig) -> None:
        super().__init__()
        width = config.decoder[0].width
        self.stem = nn.Conv2d(config.code_dim, width, 3, padding=1)
        self.middle = _middle(width, config.dropout)
        self.stages = nn.ModuleList()
        for stage in config.decoder:
            after = (Double(stage.width),) if stage.resample else ()
            self.stages.append(nn.Sequential(*_blocks(width, stage, config.dropout), *after))
            width = stage.width
        self.norm = _groups(width)
        self.out = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, D, h, w) → (B, 1, H, W)."""
        x = self.middle(self.stem(latents.to(self.stem.weight.dtype)))
        for stage in self.stages:
            x = stage(x)
        return self.out(F.silu(self.norm(x)))


class Residual(nn.Module):
    """x + conv(dropout(swish(norm(conv(swish(norm(x))))))); a 1×1 convolution of x changes the width if needed."""

    def __init__(self, before: int, after: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm1, self.conv1 = _groups(before), nn.Conv2d(before, after, 3, padding=1)
        self.norm2, self.conv2 = _groups(after), nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C', h, w)."""
        h = F.silu(self.norm2(self.conv1(F.silu(self.norm1(x)))))
        return self.shortcut(x) + self.conv2(F.dropout(h, self.dropout, self.training))


class GroupNonLocal(NonLocal):
    """A non-local block with group normalisation over all places."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm = _groups(channels)

    def normed(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → places (B, h·w, C)."""
        return self.norm(x).flatten(2).mT


class Halve(nn.Module):
    """Halves the resolution: padding at the bottom and on the right, then a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, h/2, w/2)."""
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Double(nn.Module):
    """Doubles the resolution: nearest-neighbour upsampling, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → (B, C, 2h, 2w)."""
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def _blocks(before: int, stage: Stage, dropout: float) -> list[nn.Module]:
    found: list[nn.Module] = []
    for i in range(stage.blocks):
        found.append(Residual(stage.width if i else before, stage.width, dropout))
        if stage.non_local:
            found.append(GroupNonLocal(stage.width))
    return found


def _middle(width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(Residual(width, width, dropout), GroupNonLocal(width), Residual(width, width, dropout))


def _groups(channels: int) -> nn.GroupNorm:
    """Make a group normalisation with up to 32 groups, as in Esser et al. 2021."""
    return nn.GroupNorm(math.gcd(32, channels), channels, eps=1e-6)
