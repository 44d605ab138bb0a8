"""A prior over two levels of codes: p(top) · p(bottom | top) (Razavi et al. 2019).

Both levels are in one grid, the top above the bottom (`levels`). This makes it a causal prior in raster order, and
restoration first restores the top level, then the bottom level.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.vq.causal import CausalNetwork
from napari_vqad.nets.vq.kv_cache import RowCache
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.pixelsnail import PixelSNAIL, PixelSnailConfig

NEVER = -1e4  # logit of an impossible code; ln p of the only other code is then exactly zero


Side = Annotated[int, Field(ge=1, le=4096)]


class TwoLevelConfig(BaseModel):
    """A PixelSNAIL for each level."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["two-level"] = "two-level"
    shape: tuple[Side, Side] = Field(description="(h, w) of the top level; the bottom has twice as many each way")
    top: PixelSnailConfig = PixelSnailConfig()
    bottom: PixelSnailConfig = PixelSnailConfig()


def levels_of(config: TwoLevelConfig) -> CodeLevels:
    """Return the two levels of codes."""
    h, w = config.shape
    return CodeLevels((h, w), (2 * h, 2 * w))


class TwoLevelPrior(CausalNetwork):
    """Causal prior over the grid of both levels."""

    def __init__(self, config: TwoLevelConfig, n_codes: int) -> None:
        super().__init__()
        self.config, self.n_codes = config, n_codes
        self.levels = levels_of(config)
        c = config.bottom.channels
        self.top = PixelSNAIL(config.top, n_codes)
        self.bottom = PixelSNAIL(config.bottom, n_codes)
        self.embed = nn.Embedding(n_codes, c)
        # The top level is complete before the bottom starts, so the bottom may see all of it: no causal mask here.
        self.above = nn.Sequential(
            nn.Conv2d(c, c, 3, padding=1), nn.ELU(), nn.Conv2d(c, 4 * c, 3, padding=1), nn.PixelShuffle(2)
        )

    def _logits(self, codes: Tensor, position: Tensor, memory: RowCache | None) -> Tensor:
        (n, w), first, (height, width) = codes.shape[-2:], memory.row if memory else 0, self.config.shape
        rows = min(max(height - first, 0), n)  # number of rows of the top level among these
        found = []
        top = codes if memory is None else self._top(codes[:, :rows], memory)
        if rows:
            part = memory.span(self.top, 0, height, width) if memory else None
            logits = self.top._logits(codes[:, :rows, :width], position, part)
            found.append(_beside(logits, w))
        if rows < n:
            part = memory.span(self.bottom, height, 2 * height, w) if memory else None
            start = first + rows - height
            above = self.above(self.embed(top[:, :height, :width]).movedim(-1, 1))[:, :, start : start + n - rows]
            found.append(self.bottom._logits(codes[:, rows:], position, part, above))
        return torch.cat(found, 2)

    def _top(self, rows: Tensor, memory: RowCache) -> Tensor:
        """Return the codes of the top level that are known so far, (m, height, w), given those of its open rows."""
        m, _, w = rows.shape
        known = memory.past_keys(self, rows.reshape(m, 1, -1, 1))
        return known.reshape(m, -1, w)


def _beside(logits: Tensor, width: int) -> Tensor:
    """Pad logits (B, K, n, w) to (B, K, n, width): where there is no code, only code zero is possible."""
    out = F.pad(logits, (0, width - logits.shape[3]), value=NEVER)
    out[:, 0, :, logits.shape[3] :] = 0.0
    return out
