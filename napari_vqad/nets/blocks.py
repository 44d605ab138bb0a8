"""Blocks that several networks use: slice-position features, the residual block, the non-local block."""

from __future__ import annotations

import math
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F


class TransformerSizes(BaseModel):
    """Sizes that all transformers over codes have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(192, ge=8, le=16384, description="width of the residual stream")
    layers: int = Field(6, ge=1, le=128)
    heads: int = Field(6, ge=1, description="attention heads, each with an equal part of the width")
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    condition: int = Field(64, ge=1, le=4096, description="features of the slice position")

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self


class PositionFeatures(nn.Module):
    """Smooth features (B, width) of the slice position in [−0.5, 0.5]: sines and cosines, then a small MLP."""

    frequency: Tensor

    def __init__(self, width: int, octaves: int = 4) -> None:
        super().__init__()
        # Computed with Python's numbers, because 2.0 ** tensor imports torch's compiler, which takes seconds.
        frequency = torch.tensor([math.pi * 2.0**i for i in range(octaves)])
        self.register_buffer("frequency", frequency, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(2 * octaves, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, position: Tensor) -> Tensor:
        """(B,) → (B, width)."""
        angle = position[:, None] * self.frequency
        return self.mlp(torch.cat([angle.sin(), angle.cos()], 1))


class ResBlock(nn.Module):
    """x + conv(dropout(silu(conv(silu(x)) + position))).

    It has no normalisation layer, because with statistics of the whole slice a lesion on one side would change the
    decoded picture on the other. Instead, the last convolution is initialised with zeros.
    """

    def __init__(self, channels: int, condition: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.condition = nn.Linear(condition, channels)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, C, h, w) and (B, condition) → (B, C, h, w)."""
        h = self.conv1(F.silu(x)) + self.condition(condition)[:, :, None, None]
        return x + self.conv2(F.dropout(F.silu(h), self.dropout, self.training))


class NonLocal(nn.Module):
    """x + out(softmax(q kᵀ/√d) v): attention between all places (Wang et al. 2018); `out` starts with zeros."""

    norm: nn.Module

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → the same shape."""
        q, k, v = self.qkv(self.normed(x)).chunk(3, -1)
        return x + self.out(F.scaled_dot_product_attention(q, k, v)).mT.unflatten(2, x.shape[2:])

    def normed(self, x: Tensor) -> Tensor:
        """Normalise each place over its channels: (B, C, h, w) → (B, h·w, C)."""
        return self.norm(x.flatten(2).mT)
