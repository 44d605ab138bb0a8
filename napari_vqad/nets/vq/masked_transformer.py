"""The masked prior: p(code | codes that are not hidden, slice position), a bidirectional network (Ishii 2023, §6.1).

It is trained to predict hidden codes (Devlin et al. 2019). A depthwise convolution in each block distinguishes
neighbours from other places (Chu et al. 2021); learning this would need far more slices than there are.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.blocks import PositionFeatures, TransformerSizes


class MaskedConfig(TransformerSizes):
    """Sizes of the network, and how the NLL is computed from its predictions (`detectors.vq.masked`)."""

    kind: Literal["masked"] = "masked"
    max_side: int = Field(64, ge=1, le=4096, description="largest side of a grid of codes")
    folds: int = Field(4, ge=2, le=64, description="number of folds; the codes of one fold at a time are hidden")
    rounds: int = Field(
        1,
        ge=1,
        le=64,
        description="largest number of further passes; fewer if the same codes stay unlikely",
    )
    doubt: float = Field(4.0, ge=0, le=1000, description="NLL above which a code is hidden from all others, nats")


class MaskedTransformer(nn.Module):
    """Bidirectional transformer over code grids."""

    def __init__(self, config: MaskedConfig, n_codes: int) -> None:
        super().__init__()
        self.config, self.n_codes, self.folds = config, n_codes, config.folds
        self.doubt, self.rounds = config.doubt, config.rounds
        c = config.width
        self.embed = nn.Embedding(n_codes + 1, c)  # the last vector stands for a hidden code
        self.row = nn.Parameter(0.02 * torch.randn(config.max_side, 1, c))
        self.column = nn.Parameter(0.02 * torch.randn(1, config.max_side, c))
        self.position = PositionFeatures(config.condition)
        self.condition = nn.Linear(config.condition, c)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.head = nn.Sequential(nn.LayerNorm(c), nn.Linear(c, c), nn.GELU(), nn.Linear(c, n_codes))
        nn.init.normal_(self.embed.weight, std=0.02)

    def logits_beside(self, codes: Tensor, hidden: Tensor, position: Tensor) -> Tensor:
        """Compute logits (B, K, h, w), given the codes (B, h, w) that are not `hidden`, bool (B, h, w)."""
        h, w = codes.shape[-2:]
        x = self.embed(torch.where(hidden, self.n_codes, codes)) + self.row[:h] + self.column[:, :w]
        x = x + self.condition(self.position(position))[:, None, None]
        for block in self.blocks:
            x = block(x)
        return self.head(x).movedim(-1, 1)


class Block(nn.Module):
    """x + neighbours(x), then x + attention(norm(x)), then x + mlp(norm(x)); all of (B, h, w, C)."""

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        c = config.width
        self.heads = config.heads
        self.neighbours = nn.Conv2d(c, c, 3, padding=1, groups=c)
        self.norm = nn.LayerNorm(c)
        self.qkv, self.out = nn.Linear(c, 3 * c), nn.Linear(c, c)
        self.dropout = nn.Dropout(config.dropout)
        widen, narrow = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.mlp = nn.Sequential(nn.LayerNorm(c), widen, nn.GELU(), narrow, nn.Dropout(config.dropout))
        for last in (self.out, narrow):
            nn.init.normal_(last.weight, std=0.02 / (2 * config.layers) ** 0.5)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, h, w, C) → the same shape."""
        x = x + self.neighbours(x.movedim(-1, 1)).movedim(1, -1)
        q, k, v = self.qkv(self.norm(x)).flatten(1, 2).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2).chunk(3, 1)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).view_as(x)
        x = x + self.dropout(self.out(y))
        return x + self.mlp(x)
