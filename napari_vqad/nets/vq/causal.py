"""Layers of causal networks over grids of codes: attention and convolutions that see only earlier places."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.vq.kv_cache import RowCache


class CausalNetwork(nn.Module):
    """A prior in raster order that can resume; a network implements only `_logits`."""

    def logits(self, codes: Tensor, position: Tensor) -> Tensor:
        """Compute logits (B, K, h, w) for codes (B, h, w) at positions (B,)."""
        return self._logits(codes, position, None)

    def resume(self, codes: Tensor, position: Tensor, memory: RowCache) -> Tensor:
        """Compute logits (m, K, n, w) for codes (m, n, w) in the rows from `memory.row` on."""
        return self._logits(codes, position, memory)

    def forward(self, codes: Tensor, position: Tensor) -> Tensor:
        """Compute `logits`."""
        return self.logits(codes, position)

    def _logits(self, codes: Tensor, position: Tensor, memory: RowCache | None) -> Tensor:
        raise NotImplementedError


def just_before(x: Tensor, memory: RowCache | None, key: Hashable) -> Tensor:
    """Shift x (B, n, w, C) by one place in raster order; the first place becomes zero.

    With a memory, x are the open rows, and the end of the row above is taken from the memory.
    """
    _, n, w, _ = x.shape
    seen = F.pad(x, (0, 0, 0, 0, 1, 0)) if memory is None else memory.convolution_window(key, x, 1)
    return seen.flatten(1, 2)[:, w - 1 : -1].unflatten(1, (n, w))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute softmax(q kᵀ/√d) v, causally: the queries are the last n of N places.

    (B, heads, n, d), (B, heads, N, d), (B, heads, N, d) → (B, heads, n, d). For few queries it is faster than torch's
    own function.
    """
    n, n_keys = q.shape[2], k.shape[2]
    unseen = torch.ones(n, n_keys, dtype=torch.bool, device=q.device).triu(n_keys - n + 1)
    return (q @ k.mT).mul(q.shape[-1] ** -0.5).masked_fill(unseen, -torch.inf).softmax(-1) @ v


def attend_before(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q kᵀ/√d) v over the keys before each query, its own excluded; zero for the first place.

    The queries (B, n, d) are the last of the N places of k (B, N, d) and v (B, N, D) → (B, n, D).
    """
    n, n_keys = q.shape[1], k.shape[1]
    before = torch.ones(n, n_keys, dtype=torch.bool, device=q.device).tril(n_keys - n - 1)
    weights = (q @ k.mT).mul(q.shape[-1] ** -0.5).masked_fill(~before, torch.finfo(q.dtype).min).softmax(-1)
    return (weights * before) @ v


class CausalConv2d(nn.Module):
    """Convolution that sees the rows above and, in its own row, what lies to the left (and itself if `see_self`).

    The kernel reaches k//2 rows up and k//2 columns to each side. Rows below are not stored; in the last row of the
    kernel the weights to the right are held at zero by a mask. With a `stride` it stands at every second place, say, of
    every second row, from the first on.
    """

    mask: Tensor

    def __init__(self, c_in: int, c_out: int, kernel: int, see_self: bool = True, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.reach = reach = kernel // 2
        self.taps = reach * kernel + reach + see_self
        self.weight = nn.Parameter(torch.empty(c_out, c_in, reach + 1, kernel))
        self.bias = nn.Parameter(torch.zeros(c_out))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        mask = torch.ones(reach + 1, kernel)
        mask[-1, reach + see_self :] = 0.0
        with torch.no_grad():
            self.weight.mul_(mask)  # a norm of the weights counts those that are in use
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor, memory: RowCache | None = None) -> Tensor:
        """(B, C_in, h, w) → (B, C_out, h, w), or ⌈h/stride⌉ and ⌈w/stride⌉ of the whole grid."""
        step = self.stride
        if memory is None:
            around = (self.reach, self.reach, self.reach, 0)
            return F.conv2d(F.pad(x, around), self.weight * self.mask, self.bias, stride=step)
        # A row at a time a convolution is one matrix product over its taps, and quicker written so.
        n, w = x.shape[2:]
        first = -memory.row % step
        seen = memory.convolution_window(self, x.movedim(1, -1), self.reach, self.reach)
        places = [divmod(tap, 2 * self.reach + 1) for tap in range(self.taps)]
        columns = torch.cat([seen[:, first + dy : dy + n : step, dx : dx + w : step] for dy, dx in places], -1)
        return F.linear(columns, memory.prepared(self, self._matrix), self.bias).movedim(-1, 1)

    def _matrix(self) -> Tensor:
        """The weights as (C_out, taps·C_in), those that the mask holds at zero left out."""
        return self.weight.permute(0, 2, 3, 1).flatten(1, 2)[:, : self.taps].flatten(1).contiguous()


class Pointwise(nn.Conv2d):
    """A 1×1 convolution as a matrix product; for a few rows, oneDNN's convolution takes twice as long."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, h, w) → (B, C_out, h, w)."""
        return F.linear(x.movedim(1, -1), self.weight[:, :, 0, 0], self.bias).movedim(-1, 1)


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each place, because statistics over places would include later ones."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) → the same shape."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)
