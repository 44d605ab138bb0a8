"""The interfaces of priors: causal, causal with a cache, over several levels of codes, and masked."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from napari_vqad.nets.vq.kv_cache import RowCache
from napari_vqad.nets.vq.levels import CodeLevels


class Prior(Protocol):
    """A causal prior."""

    n_codes: int

    def logits(self, codes: Tensor, position: Tensor) -> Tensor:
        """Compute logits (B, K, h, w) for codes (B, h, w) at positions (B,); those at i depend only on codes before i.

        A channel beyond K, such as that of a start token, counts in the softmax but is never drawn. The order of a
        prior that cannot resume may differ from raster order.
        """


@runtime_checkable
class ResumingPrior(Prior, Protocol):
    """A prior that can continue from cached rows, which makes restorations much faster."""

    def resume(self, codes: Tensor, position: Tensor, memory: RowCache) -> Tensor:
        """Like `logits`, for codes (m, n, w) in the rows from `memory.row` on: (m, K, n, w)."""


@runtime_checkable
class LevelledPrior(Prior, Protocol):
    """A prior over several levels of codes in one grid."""

    levels: CodeLevels


@runtime_checkable
class MaskedPrior(Protocol):
    """A bidirectional prior. For its attributes, see `MaskedConfig`."""

    n_codes: int
    folds: int
    doubt: float
    rounds: int

    def logits_beside(self, codes: Tensor, hidden: Tensor, position: Tensor) -> Tensor:
        """Compute logits (B, K, h, w), given the codes (B, h, w) that are not `hidden`, bool (B, h, w)."""
