"""The GPT-2 prior: p(code | codes before it in raster order, slice position) (Radford et al. 2019; Ishii 2023).

The input is shifted by one place, behind a start token, so that each place sees the codes before it and not its own.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.blocks import PositionFeatures, TransformerSizes
from napari_vqad.nets.vq.causal import CausalNetwork, attend, just_before
from napari_vqad.nets.vq.kv_cache import RowCache


class GPT2Config(TransformerSizes):
    """Sizes of the network. Ishii 2023 uses GPT-2 medium: width 1024, layers 24, heads 16."""

    kind: Literal["gpt2"] = "gpt2"
    places: int = Field(1024, ge=1, le=2**16, description="largest number of codes of a slice")


class GPT2(CausalNetwork):
    """Causal transformer over code grids in raster order."""

    def __init__(self, config: GPT2Config, n_codes: int) -> None:
        super().__init__()
        self.config, self.n_codes = config, n_codes
        c = config.width
        self.embed = nn.Embedding(n_codes, c)
        self.start = nn.Parameter(0.02 * torch.randn(c))
        self.place = nn.Parameter(0.01 * torch.randn(config.places, c))
        self.position = PositionFeatures(config.condition)
        self.condition = nn.Linear(config.condition, c)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(c)
        self.head = nn.Linear(c, n_codes, bias=False)
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
        for block in self.blocks:
            assert isinstance(block, Block)
            for last in (block.attention.out, block.narrow):
                # 2·layers branches are added to one stream, whose variance should not grow (GPT-2).
                nn.init.normal_(last.weight, std=0.02 / (2 * config.layers) ** 0.5)

    def _logits(self, codes: Tensor, position: Tensor, memory: RowCache | None) -> Tensor:
        (n, w), top = codes.shape[-2:], memory.row if memory else 0
        x = just_before(self.embed(codes), memory, self).flatten(1, 2)
        if top == 0:
            x = torch.cat([self.start.expand(len(x), 1, -1), x[:, 1:]], 1)
        x = x + self.place[top * w : (top + n) * w] + self.condition(self.position(position))[:, None]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, memory)
        return self.head(self.norm(x)).mT.unflatten(2, (n, w))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        c = config.width
        self.attention = Attention(config)
        self.norm = nn.LayerNorm(c)
        self.widen, self.narrow = nn.Linear(c, 4 * c), nn.Linear(4 * c, c)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, memory: RowCache | None) -> Tensor:
        """(B, N, C) → the same shape."""
        x = x + self.attention(x, memory)
        return x + self.dropout(self.narrow(F.gelu(self.widen(self.norm(x)), approximate="tanh")))


class Attention(nn.Module):
    """softmax(q kᵀ/√d) v, where each place attends to the places up to and including its own."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, memory: RowCache | None) -> Tensor:
        """Compute the residual (B, N, C) to add to x (B, N, C)."""
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2).chunk(3, 1)
        if memory is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = attend(q, memory.past_keys((self, "k"), k), memory.past_keys((self, "v"), v))
        return self.dropout(self.out(y.transpose(1, 2).flatten(2)))
