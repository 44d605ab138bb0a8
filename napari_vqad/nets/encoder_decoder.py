"""The convolutional encoder and decoder of VQ-VAEs and autoencoders, both conditioned on the slice position."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.blocks import NonLocal, ResBlock

# These bounds are far above useful sizes. Without them, a damaged config could ask for more memory than there is.
Channels = Annotated[tuple[Annotated[int, Field(ge=1, le=4096)], ...], Field(max_length=8)]
Blocks = Annotated[tuple[Annotated[int, Field(ge=0, le=32)], ...], Field(max_length=8)]


class SizesOfEncoder(BaseModel):
    """Sizes of an encoder and its decoder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Channels = Field(
        (64, 96, 128), min_length=1, description="channels of each level; one halving between levels"
    )
    blocks: Blocks = Field((1, 2, 2), description="residual blocks of each level")
    patch: int = Field(2, ge=1, le=64, description="side of the pixel patch that enters the first level, 1 or even")
    code_dim: int = Field(64, ge=1, le=4096, description="D, channels of the latents: the length of a codebook vector")
    condition: int = Field(64, ge=1, le=4096, description="features of the slice position")
    context: int = Field(
        0, ge=0, le=4096, description="channels of a coarser grid that gives the encoder context; 0 for none"
    )
    context_blocks: int = Field(3, ge=1, le=32, description="residual blocks on the coarser grid")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of each residual block's channels left out in training")
    non_local: bool = Field(False, description="a non-local block at the lowest resolution of encoder and decoder")
    decoder_channels: Channels = Field((), description="as `channels`, fine to coarse; the encoder's when empty")
    decoder_blocks: Blocks = Field((), description="as `blocks`; the encoder's when empty")

    @model_validator(mode="after")
    def _same_levels(self) -> Self:
        levels = len(self.channels)
        if {len(self.blocks), len(self.decoding[0]), len(self.decoding[1])} != {levels}:
            raise ValueError("channels, blocks, decoder_channels and decoder_blocks must have one number a level")
        if self.patch > 1 and self.patch % 2:
            raise ValueError("the side of a patch is 1 or even")
        return self

    @property
    def decoding(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Channels and blocks of the decoder's levels, coarse to fine."""
        return (self.decoder_channels or self.channels)[::-1], (self.decoder_blocks or self.blocks)[::-1]

    @property
    def stride(self) -> int:
        """Pixels per code along each axis."""
        return self.patch * 2 ** (len(self.channels) - 1)


class Encoder(nn.Module):
    """Pixels → latents (B, D, h, w)."""

    def __init__(self, config: SizesOfEncoder) -> None:
        super().__init__()
        channels, p = config.channels, config.patch
        self.stem = nn.Conv2d(1, channels[0], 3 if p == 1 else 2 * p, stride=p, padding=1 if p == 1 else p // 2)
        self.levels = nn.ModuleList(Level(c, n, config) for c, n in zip(channels, config.blocks, strict=True))
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(channels))
        self.context = Context(channels[-1], config) if config.context else None
        self.non_local = NonLocal(channels[-1]) if config.non_local else nn.Identity()
        self.out = nn.Conv2d(channels[-1], config.code_dim, 1)

    def forward(self, slices: Tensor, condition: Tensor) -> Tensor:
        """(B, 1, H, W) → (B, D, h, w)."""
        x = self.features(slices, condition)[-1]
        if self.context is not None:
            x = self.context(x, condition)
        return self.out(F.silu(self.non_local(x)))

    def features(self, slices: Tensor, condition: Tensor) -> list[Tensor]:
        """Compute the features after each level, fine to coarse: (B, 1, H, W) → (B, C, h, w)."""
        x, found = self.stem(slices), []
        for i, level in enumerate(self.levels):
            x = level(self.down[i - 1](x) if i else x, condition)
            found.append(x)
        return found


class Context(nn.Module):
    """Adds features of a grid of half the resolution: to restore a lesion, a code needs context beyond it."""

    def __init__(self, channels: int, config: SizesOfEncoder) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, config.context, 2, stride=2)
        self.level = Level(config.context, config.context_blocks, config)
        self.up = nn.Sequential(nn.Conv2d(config.context, 4 * channels, 3, padding=1), nn.PixelShuffle(2))
        self.after = Level(channels, 1, config)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, C, h, w), both even → the same."""
        coarse = self.level(F.silu(self.down(x)), condition)
        return self.after(x + self.up(coarse), condition)


class Decoder(nn.Module):
    """Latents (B, D, h, w) → pixels; it mirrors the encoder, with its own numbers of channels and blocks."""

    def __init__(self, config: SizesOfEncoder) -> None:
        super().__init__()
        (channels, blocks), p = config.decoding, config.patch
        self.stem = nn.Conv2d(config.code_dim, channels[0], 3, padding=1)
        self.levels = nn.ModuleList(Level(c, n, config) for c, n in zip(channels, blocks, strict=True))
        self.non_local = NonLocal(channels[0]) if config.non_local else nn.Identity()
        self.up = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, 4 * b, 3, padding=1), nn.PixelShuffle(2)) for a, b in pairwise(channels)
        )
        self.unpatch = nn.Sequential(nn.Conv2d(channels[-1], 16 * p * p, 3, padding=1), nn.PixelShuffle(p))
        self.out = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        """(B, D, h, w) → (B, 1, H, W)."""
        x = self.non_local(self.stem(latents.to(self.stem.weight.dtype)))
        for i, level in enumerate(self.levels):
            x = self.up[i - 1](x) if i else x
            x = level(x, condition)
        return self.out(F.silu(self.unpatch(F.silu(x))))


class Level(nn.ModuleList):
    """A sequence of residual blocks."""

    def __init__(self, channels: int, blocks: int, config: SizesOfEncoder) -> None:
        super().__init__(ResBlock(channels, config.condition, config.dropout) for _ in range(blocks))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, C, h, w) and (B, condition) → (B, C, h, w)."""
        for block in self:
            x = block(x, condition)
        return x
