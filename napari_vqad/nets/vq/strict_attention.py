"""PixelSNAIL's attention: each place looks at the places before it and not at itself (Chen et al. 2018).

A key may hold the code of its own place, since no place looks at itself.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.vq.causal import CausalConv2d, Pointwise, attend_before
from napari_vqad.nets.vq.kv_cache import RowCache

COORDINATES = 2  # channels: row and column, each −0.5 to 0.5


class StrictAttention(nn.Module):
    """softmax(q kᵀ/√d) v over the places before each place, in raster order; zero at the first."""

    def __init__(self, channels: int, key_channels: int) -> None:
        super().__init__()
        self.d = key_channels
        self.keys = Mixed(2 * channels + COORDINATES, self.d + channels // 2)
        self.queries = Mixed(channels + COORDINATES, self.d)

    def forward(self, e: Tensor, x: Tensor, where: Tensor, memory: RowCache | None = None) -> Tensor:
        """Embedded codes and horizontal stack (B, C, h, w), coordinates (B, 2, h, w) → (B, C/2, h, w)."""
        keys = self.keys(torch.cat([e, x, where], 1))
        if memory is not None:
            keys = memory.past_keys(self, keys.flatten(2).mT[:, None])[:, 0].mT
        return self._attend(self.queries(torch.cat([x, where], 1)), keys)

    def _attend(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Queries (B, d, h, w) and all keys and values so far, (B, d + C/2, …) → (B, C/2, h, w)."""
        keys = keys.flatten(2).mT
        y = attend_before(queries.flatten(2).mT, keys[..., : self.d], keys[..., self.d :])
        return y.mT.unflatten(2, queries.shape[2:])


class HalvedAttention(StrictAttention):
    """`StrictAttention` among every second place of every second row, for a quarter of the places.

    A masked convolution (5×5, stride 2) sums up what lies above and to the left of such a place. All of that comes
    before the next one, so that a place (r, c) may take over what (2⌊r/2⌋, 2⌊c/2⌋) saw before itself.
    """

    def __init__(self, channels: int, key_channels: int) -> None:
        super().__init__(channels, key_channels)
        self.halve_codes = CausalConv2d(channels, channels, 5, stride=2)
        self.halve_stack = CausalConv2d(channels, channels, 5, stride=2)

    def forward(self, e: Tensor, x: Tensor, where: Tensor, memory: RowCache | None = None) -> Tensor:
        """Embedded codes and horizontal stack (B, C, h, w), coordinates (B, 2, h, w) → (B, C/2, h, w)."""
        n, w = x.shape[2:]
        first = memory.row % 2 if memory else 0  # of the rows of x, the first one that has a coarse place
        e, x, where = self.halve_codes(e, memory), self.halve_stack(x, memory), where[:, :, first::2, ::2]
        keys = self.keys(torch.cat([e, x, where], 1))
        if memory is not None:
            # The memory counts places of the whole grid. Those that are not coarse stay empty and are left out.
            placed = keys.new_zeros(*keys.shape[:2], n, w)
            placed[:, :, first::2, ::2] = keys
            past = memory.past_keys(self, placed.flatten(2).mT[:, None])[:, 0].mT
            keys = past.unflatten(2, (-1, w))[:, :, ::2, ::2]
        y = self._attend(self.queries(torch.cat([x, where], 1)), keys).repeat_interleave(2, 3)[..., :w]
        if memory is None:
            return y.repeat_interleave(2, 2)[:, :, :n]
        rows = y.new_zeros(len(y), n, w, y.shape[1])
        rows[:, first::2] = y.movedim(1, -1)
        seen = memory.convolution_window((self, "doubled"), rows, 1)  # an odd row is that above it
        here = torch.arange(n, device=y.device)
        return seen[:, here + 1 - (here + first) % 2].movedim(-1, 1)


class Mixed(nn.Module):
    """A gated residual 1×1 block, then a 1×1 convolution to the channels that are asked for."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = Pointwise(c_in, c_in, 1)
        self.conv2 = Pointwise(c_in, 2 * c_in, 1)
        self.out = Pointwise(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, h, w) → (B, C_out, h, w)."""
        return self.out(x + F.glu(self.conv2(F.elu(self.conv1(F.elu(x)))), dim=1))
