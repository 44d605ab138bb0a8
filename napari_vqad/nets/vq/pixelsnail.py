"""The PixelSNAIL prior: p(code | codes before it in raster order, slice position) (Chen et al. 2018).

Causal convolutions see the neighbourhood, causal attention the whole of what came before. The first convolution
leaves out the code itself; every later layer may look at its own place, since by then that holds only the past.
"""

from __future__ import annotations

from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.blocks import PositionFeatures
from napari_vqad.nets.vq.causal import CausalConv2d, CausalNetwork, ChannelNorm, Pointwise, attend, just_before
from napari_vqad.nets.vq.kv_cache import RowCache


class PixelSnailConfig(BaseModel):
    """Sizes. The paper's: channels 128, blocks 4, res_blocks 4."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["pixelsnail"] = "pixelsnail"
    channels: int = Field(96, ge=8, le=4096, description="width of the residual stream")
    blocks: int = Field(3, ge=1, le=32, description="PixelSNAIL blocks, each ending with attention")
    res_blocks: int = Field(2, ge=1, le=32, description="gated residual blocks in each")
    kernel: int = Field(3, ge=3, le=31, description="side of the causal convolutions, odd")
    heads: int = Field(4, ge=1, description="attention heads; they share the channels evenly")
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    condition: int = Field(64, ge=1, le=4096, description="features of the slice position")
    max_side: int = Field(64, ge=1, le=4096, description="largest code grid side with a learnt place")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.channels % self.heads:
            raise ValueError("channels must be a multiple of heads")
        if self.kernel % 2 == 0:
            raise ValueError("the side of a kernel is odd")
        return self


class PixelSNAIL(CausalNetwork):
    """Causal prior over code grids."""

    def __init__(self, config: PixelSnailConfig, n_codes: int) -> None:
        super().__init__()
        self.config, self.n_codes = config, n_codes
        c = config.channels
        self.embed = nn.Embedding(n_codes, c)
        self.position = PositionFeatures(config.condition)
        self.row = nn.Parameter(0.02 * torch.randn(c, config.max_side, 1))
        self.column = nn.Parameter(0.02 * torch.randn(c, 1, config.max_side))
        self.stem = CausalConv2d(c, c, 2 * config.kernel - 1, see_self=False)
        self.previous = nn.Linear(c, c)
        self.condition = nn.Linear(config.condition, c)
        self.blocks = nn.ModuleList(SnailBlock(config) for _ in range(config.blocks))
        self.head = nn.Sequential(ChannelNorm(c), Pointwise(c, c, 1), nn.ELU(), Pointwise(c, n_codes, 1))

    def _logits(self, codes: Tensor, position: Tensor, memory: RowCache | None, above: Tensor | None = None) -> Tensor:
        """As `logits`; `above`, (B, C, n, w), is what a coarser level says of each place."""
        (n, w), top = codes.shape[-2:], memory.row if memory else 0
        condition = self.position(position)
        place = self.row[:, top : top + n] + self.column[:, :, :w]
        embedded = self.embed(codes)
        x = self.stem(embedded.permute(0, 3, 1, 2), memory)
        # With it attention finds every earlier code at some earlier place. Convolutions alone leave a blind spot: the
        # last codes of a row are beside no place that the start of the next row may see.
        x = x + just_before(self.previous(embedded), memory, self.previous).permute(0, 3, 1, 2)
        x = x + place + self.condition(condition)[:, :, None, None]
        x = x if above is None else x + above
        for block in self.blocks:
            x = block(x, condition, memory)
        return self.head(x)


class SnailBlock(nn.Module):
    """Gated residual blocks, then attention over everything before."""

    def __init__(self, config: PixelSnailConfig) -> None:
        super().__init__()
        self.residual = nn.ModuleList(GatedResBlock(config) for _ in range(config.res_blocks))
        self.attention = CausalAttention(config.channels, config.heads)

    def forward(self, x: Tensor, condition: Tensor, memory: RowCache | None = None) -> Tensor:
        """(B, C, h, w) and (B, condition) → (B, C, h, w)."""
        for block in self.residual:
            x = block(x, condition, memory)
        return self.attention(x, memory)


class GatedResBlock(nn.Module):
    """x + a·σ(b) with (a, b) = conv(elu(conv(elu(norm(x))) + position))."""

    def __init__(self, config: PixelSnailConfig) -> None:
        super().__init__()
        c = config.channels
        self.norm = ChannelNorm(c)
        self.conv1 = CausalConv2d(c, c, config.kernel)
        self.condition = nn.Linear(config.condition, c)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = CausalConv2d(c, 2 * c, config.kernel)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, condition: Tensor, memory: RowCache | None = None) -> Tensor:
        """(B, C, h, w) and (B, condition) → (B, C, h, w)."""
        h = self.conv1(F.elu(self.norm(x)), memory) + self.condition(condition)[:, :, None, None]
        return x + F.glu(self.conv2(self.dropout(F.elu(h)), memory), dim=1)


class CausalAttention(nn.Module):
    """x + softmax(q kᵀ/√d) v over places up to and including its own, in raster order."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = ChannelNorm(channels)
        self.qkv = Pointwise(channels, 3 * channels, 1)
        self.out = Pointwise(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, memory: RowCache | None = None) -> Tensor:
        """(B, C, h, w) → the same shape."""
        n, w = x.shape[2:]
        q, k, v = self._split(self.qkv(self.norm(x))).chunk(3, 1)
        if memory is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = attend(q, memory.past_keys((self, "k"), k), memory.past_keys((self, "v"), v))
        return x + self.out(y.transpose(1, 2).unflatten(1, (n, w)).flatten(3).movedim(-1, 1))

    def _split(self, x: Tensor) -> Tensor:
        """(B, 3C, n, w) → (B, 3·heads, n·w, C/heads)."""
        return x.movedim(1, -1).flatten(1, 2).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)
