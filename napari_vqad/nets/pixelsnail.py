"""The PixelSNAIL prior: p(code | codes before it in raster order, slice position) (Chen et al. 2018).

Causal convolutions see the neighbourhood, causal attention the whole of what came before. The first convolution
leaves out the code itself; every later layer may look at its own place, since by then that holds only the past.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.blocks import PositionFeatures
from napari_vqad.nets.memory import Memory


class Prior(Protocol):
    """What the explorer asks of any causal prior."""

    n_codes: int

    def logits(self, codes: Tensor, position: Tensor) -> Tensor:
        """Codes (B, h, w), position (B,) → logits (B, K, h, w); those at i depend on codes before i alone."""


@runtime_checkable
class ResumingPrior(Prior, Protocol):
    """A prior that need not compute again what it has seen; restorations with it cost a fraction."""

    def resume(self, codes: Tensor, position: Tensor, memory: Memory) -> Tensor:
        """As `logits`, of codes (m, n, w) that are the rows from `memory.row` on: logits (m, K, n, w)."""


class PixelSnailConfig(BaseModel):
    """Sizes. The paper's: channels 128, blocks 4, res_blocks 4."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: int = Field(96, ge=8, description="width of the residual stream")
    blocks: int = Field(3, ge=1, description="PixelSNAIL blocks, each ending with attention")
    res_blocks: int = Field(2, ge=1, description="gated residual blocks in each")
    kernel: int = Field(3, ge=3, description="side of the causal convolutions, odd")
    heads: int = Field(4, ge=1, description="attention heads")
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    condition: int = Field(64, ge=1, description="features of the slice position")
    max_side: int = Field(64, ge=1, description="largest code grid side with a learnt place")


class PixelSNAIL(nn.Module):
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

    def logits(self, codes: Tensor, position: Tensor) -> Tensor:
        """Codes (B, h, w), position (B,) → logits (B, K, h, w)."""
        return self._logits(codes, position, None)

    forward = logits

    def resume(self, codes: Tensor, position: Tensor, memory: Memory) -> Tensor:
        """Codes (m, n, w), the rows from `memory.row` on → their logits (m, K, n, w)."""
        return self._logits(codes, position, memory)

    def _logits(self, codes: Tensor, position: Tensor, memory: Memory | None) -> Tensor:
        (n, w), top = codes.shape[-2:], memory.row if memory else 0
        condition = self.position(position)
        place = self.row[:, top : top + n] + self.column[:, :, :w]
        embedded = self.embed(codes)
        x = self.stem(embedded.permute(0, 3, 1, 2), memory) + self.before(embedded, memory)
        x = x + place + self.condition(condition)[:, :, None, None]
        for block in self.blocks:
            x = block(x, condition, memory)
        return self.head(x)

    def before(self, embedded: Tensor, memory: Memory | None) -> Tensor:
        """The code just before each place in raster order, (B, n, w, c) → (B, c, n, w).

        With it attention finds every earlier code at some earlier place. Convolutions alone leave a blind spot: the
        last codes of a row are beside no place that the start of the next row may see.
        """
        _, n, w, _ = embedded.shape
        before = self.previous(embedded)
        seen = F.pad(before, (0, 0, 0, 0, 1, 0)) if memory is None else memory.window(self.previous, before, 1)
        return seen.flatten(1, 2)[:, w - 1 : -1].unflatten(1, (n, w)).permute(0, 3, 1, 2)


class SnailBlock(nn.Module):
    """Gated residual blocks, then attention over everything before."""

    def __init__(self, config: PixelSnailConfig) -> None:
        super().__init__()
        self.residual = nn.ModuleList(GatedResBlock(config) for _ in range(config.res_blocks))
        self.attention = CausalAttention(config.channels, config.heads)

    def forward(self, x: Tensor, condition: Tensor, memory: Memory | None = None) -> Tensor:
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

    def forward(self, x: Tensor, condition: Tensor, memory: Memory | None = None) -> Tensor:
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

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, C, h, w) → the same shape."""
        n, w = x.shape[2:]
        q, k, v = self._split(self.qkv(self.norm(x))).chunk(3, 1)
        if memory is None:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            y = attend(q, memory.past((self, "k"), k), memory.past((self, "v"), v))
        return x + self.out(y.transpose(1, 2).unflatten(1, (n, w)).flatten(3).movedim(-1, 1))

    def _split(self, x: Tensor) -> Tensor:
        """(B, 3C, n, w) → (B, 3·heads, n·w, C/heads)."""
        return x.movedim(1, -1).flatten(1, 2).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ/√d) v: the queries are the last places; the last of them sees all keys, each before it one less.

    (B, heads, n, d), (B, heads, N, d), (B, heads, N, d) → (B, heads, n, d). For few queries quicker than torch's own.
    """
    n, n_keys = q.shape[2], k.shape[2]
    unseen = torch.ones(n, n_keys, dtype=torch.bool, device=q.device).triu(n_keys - n + 1)
    return (q @ k.mT).mul(q.shape[-1] ** -0.5).masked_fill(unseen, -torch.inf).softmax(-1) @ v


class CausalConv2d(nn.Module):
    """Convolution that sees the rows above and, in its own row, what lies to the left (and itself if `see_self`).

    The kernel reaches k//2 rows up and k//2 columns to each side. Rows below are not stored; in the last row of the
    kernel the weights to the right are held at zero by a mask.
    """

    mask: Tensor

    def __init__(self, c_in: int, c_out: int, kernel: int, see_self: bool = True) -> None:
        super().__init__()
        self.reach = reach = kernel // 2
        self.taps = reach * kernel + reach + see_self
        self.weight = nn.Parameter(torch.empty(c_out, c_in, reach + 1, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        mask = torch.ones(reach + 1, kernel)
        mask[-1, reach + see_self :] = 0.0
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor, memory: Memory | None = None) -> Tensor:
        """(B, C_in, h, w) → (B, C_out, h, w)."""
        if memory is None:
            return F.conv2d(F.pad(x, (self.reach, self.reach, self.reach, 0)), self.weight * self.mask, self.bias)
        # A row at a time a convolution is one matrix product over its taps, and quicker written so.
        n, w = x.shape[2:]
        seen = memory.window(self, x.movedim(1, -1), self.reach, self.reach)
        places = [divmod(tap, self.weight.shape[3]) for tap in range(self.taps)]
        columns = torch.cat([seen[:, dy : dy + n, dx : dx + w] for dy, dx in places], -1)
        return F.linear(columns, memory.prepared(self, self._matrix), self.bias).movedim(-1, 1)

    def _matrix(self) -> Tensor:
        """The weights as (C_out, taps·C_in), those that the mask holds at zero left out."""
        return self.weight.permute(0, 2, 3, 1).flatten(1, 2)[:, : self.taps].flatten(1).contiguous()


class Pointwise(nn.Conv2d):
    """A 1×1 convolution, as the product it is; oneDNN's convolution takes twice as long for a few rows."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, h, w) → (B, C_out, h, w)."""
        return F.linear(x.movedim(1, -1), self.weight[:, :, 0, 0], self.bias).movedim(-1, 1)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place alone: statistics across places would leak the future."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → the same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)
