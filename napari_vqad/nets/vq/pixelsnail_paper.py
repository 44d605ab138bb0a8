"""PixelSNAIL in its own wiring: p(code | codes before it in raster order, slice position).

Chen et al. 2018, as Marimont & Tarroni 2020 and Ishii 2023 use it. A vertical stack sees the rows above, a horizontal
stack its own row to the left and, at each block, the vertical stack. Then a single attention head looks at all earlier
places, its own place excluded. `nets.vq.pixelsnail` is a simplified network: one stack, transformer attention.

Weight normalisation (`weight_norm`) and attention at half the resolution of the codes (`attention`), which Marimont &
Tarroni's code has for 20×20 codes, are chosen in the config. Bundles from before there was a choice have neither.

Differences from that code: the first layers are the shifted convolutions of both stacks and not a masked 7×7
convolution, and the slice position is added in each residual block, where the authors concatenate it as channels.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from napari_vqad.nets.blocks import PositionFeatures
from napari_vqad.nets.vq.causal import CausalConv2d, CausalNetwork, Pointwise
from napari_vqad.nets.vq.kv_cache import RowCache
from napari_vqad.nets.vq.strict_attention import HalvedAttention, StrictAttention


class PaperSnailConfig(BaseModel):
    """Sizes. The papers': channels 128, blocks 4, res_blocks 4, key_channels 16, dropout 0.1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["pixelsnail-paper"] = "pixelsnail-paper"
    channels: int = Field(128, ge=8, le=4096, description="width of both stacks")
    blocks: int = Field(4, ge=1, le=32, description="PixelSNAIL blocks, each ending with attention")
    res_blocks: int = Field(4, ge=1, le=32, description="gated residual blocks of each stack in a block")
    key_channels: int = Field(16, ge=1, le=4096, description="length of queries and keys")
    dropout: float = Field(0.1, ge=0.0, lt=1.0)
    condition: int = Field(64, ge=1, le=4096, description="features of the slice position")
    weight_norm: bool = Field(False, description="normalise the weights of convolutions, as in PixelSNAIL's own code")
    attention: Literal["full", "half"] = Field("full", description="resolution of attention, of that of the codes")


class PaperSNAIL(CausalNetwork):
    """Causal prior over code grids."""

    def __init__(self, config: PaperSnailConfig, n_codes: int) -> None:
        super().__init__()
        self.config, self.n_codes = config, n_codes
        c = config.channels
        self.embed = nn.Embedding(n_codes, c)
        self.position = PositionFeatures(config.condition)
        self.above = ShiftedConv(c, c, rows=2, left=1, right=1, down=1)  # rows above, without its own
        self.left = ShiftedConv(c, c, rows=1, left=1, right=0, along=1)  # its own row, without itself
        self.blocks = nn.ModuleList(PaperBlock(config) for _ in range(config.blocks))
        self.head = Pointwise(c, n_codes, 1)
        if config.weight_norm:
            for module in list(self.modules()):
                if isinstance(module, (nn.Conv2d, CausalConv2d)):
                    weight_norm(module)

    def _logits(self, codes: Tensor, position: Tensor, memory: RowCache | None) -> Tensor:
        condition = self.position(position)
        e = self.embed(codes).permute(0, 3, 1, 2)
        above = self.above(e, memory)
        beside = above + self.left(e, memory)
        where = self._coordinates(e, memory)
        for block in self.blocks:
            above, beside = block(above, beside, e, where, condition, memory)
        return self.head(F.elu(beside))

    def _coordinates(self, x: Tensor, memory: RowCache | None) -> Tensor:
        """Row and column of each place of x (B, C, n, w) in the whole grid, each −0.5 to 0.5: (B, 2, n, w)."""
        n, w = x.shape[2:]

        def spread(places: int) -> Tensor:
            return torch.linspace(-0.5, 0.5, places, device=x.device, dtype=x.dtype)

        # A memory sees the whole grid first and parts of it later; the rows of the first time are those of the grid.
        rows = spread(n) if memory is None else memory.prepared((self, "rows"), lambda: spread(n))
        rows = rows if memory is None else rows[memory.row : memory.row + n]
        return torch.stack(torch.meshgrid(rows, spread(w), indexing="ij")).expand(len(x), -1, -1, -1)


class PaperBlock(nn.Module):
    """Gated residual blocks in both stacks, then attention, merged into the horizontal stack."""

    def __init__(self, config: PaperSnailConfig) -> None:
        super().__init__()
        c = config.channels
        self.vertical = nn.ModuleList(GatedResidual(config, 2, 1, 1) for _ in range(config.res_blocks))
        self.horizontal = nn.ModuleList(GatedResidual(config, 2, 1, 0, aux=c) for _ in range(config.res_blocks))
        attention = HalvedAttention if config.attention == "half" else StrictAttention
        self.attention = attention(c, config.key_channels)
        self.merge = GatedResidual(config, 1, 0, 0, aux=c // 2)

    def forward(
        self,
        above: Tensor,
        beside: Tensor,
        e: Tensor,
        where: Tensor,
        condition: Tensor,
        memory: RowCache | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Both stacks (B, C, h, w), embedded codes e, coordinates (B, 2, h, w), (B, condition) → both stacks."""
        for down, across in zip(self.vertical, self.horizontal, strict=True):
            above = down(above, condition, memory)
            beside = across(beside, condition, memory, above)
        return above, self.merge(beside, condition, memory, self.attention(e, beside, where, memory))


class ShiftedConv(nn.Conv2d):
    """A convolution over its own row and the rows above, `left` columns to the left and `right` to the right.

    The result is moved by `down` rows and `along` columns, so that a place excludes its own row, or itself. The rows
    and columns that nothing is moved to are zero, not the bias.
    """

    def __init__(
        self, c_in: int, c_out: int, rows: int, left: int, right: int, *, down: int = 0, along: int = 0
    ) -> None:
        super().__init__(c_in, c_out, (rows, left + right + 1))
        self.rows, self.sides, self.down, self.along = rows, (left, right), down, along

    def forward(self, x: Tensor, memory: RowCache | None = None) -> Tensor:
        """(B, C_in, h, w) → (B, C_out, h, w)."""
        if memory is None:
            y = super().forward(F.pad(x, (*self.sides, self.rows - 1, 0)))
            return F.pad(y, (self.along, 0, self.down, 0))[:, :, : x.shape[2], : x.shape[3]]
        # A row at a time a convolution is one matrix product over its taps, and quicker written so.
        (n, w), (left, right) = x.shape[2:], self.sides
        seen, side = x.movedim(1, -1), max(self.sides)
        if reach := self.rows - 1 + self.down:
            seen = memory.convolution_window(self, seen, reach, side)
        else:
            seen = F.pad(seen, (0, 0, side, side))
        taps = [(dy, side - left + dx) for dy in range(self.rows) for dx in range(left + right + 1)]
        columns = torch.cat([seen[:, dy : dy + n, dx : dx + w] for dy, dx in taps], -1)
        y = F.linear(columns, memory.prepared(self, self._matrix), self.bias)
        empty = max(0, self.down - memory.row)  # rows of x that have no row above
        return F.pad(y[:, empty:, : w - self.along], (0, 0, self.along, 0, empty, 0)).movedim(-1, 1)

    def _matrix(self) -> Tensor:
        """The weights as (C_out, taps·C_in)."""
        return self.weight.permute(0, 2, 3, 1).flatten(1).contiguous()


class GatedResidual(nn.Module):
    """x + a·σ(b) with (a, b) = conv(dropout(elu(conv(elu(x)) + aux))) + position."""

    def __init__(self, config: PaperSnailConfig, rows: int, left: int, right: int, aux: int = 0) -> None:
        super().__init__()
        c = config.channels
        self.conv1 = ShiftedConv(c, c, rows, left, right)
        self.aux = Pointwise(aux, c, 1) if aux else None
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = ShiftedConv(c, 2 * c, rows, left, right)
        self.condition = nn.Linear(config.condition, 2 * c)

    def forward(
        self, x: Tensor, condition: Tensor, memory: RowCache | None = None, aux: Tensor | None = None
    ) -> Tensor:
        """(B, C, h, w), (B, condition) and, where it was declared, aux (B, aux, h, w) → (B, C, h, w)."""
        y = self.conv1(F.elu(x), memory)
        if self.aux is not None and aux is not None:
            y = y + self.aux(F.elu(aux))
        y = self.conv2(self.dropout(F.elu(y)), memory) + self.condition(condition)[:, :, None, None]
        return x + F.glu(y, dim=1)
