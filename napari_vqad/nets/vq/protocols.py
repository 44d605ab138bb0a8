"""What is asked of a prior, of one that resumes, and of one that sees both sides."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor

from napari_vqad.nets.vq.kv_cache import RowCache
from napari_vqad.nets.vq.levels import CodeLevels


class Prior(Protocol):
    """What the explorer asks of any causal prior."""

    n_codes: int

    def logits(self, codes: Tensor, position: Tensor) -> Tensor:
        """Codes (B, h, w), position (B,) → logits (B, K, h, w); those at i depend on codes before i alone.

        A channel beyond K, such as a start token's, takes part in the sum of probabilities and is never drawn. A prior
        that cannot resume may have another order than raster order.
        """


@runtime_checkable
class ResumingPrior(Prior, Protocol):
    """A prior that need not compute again what it has seen; restorations with it cost a fraction."""

    def resume(self, codes: Tensor, position: Tensor, memory: RowCache) -> Tensor:
        """As `logits`, of codes (m, n, w) that are the rows from `memory.row` on: logits (m, K, n, w)."""


@runtime_checkable
class LevelledPrior(Prior, Protocol):
    """A prior over several levels of codes in one grid."""

    levels: CodeLevels


@runtime_checkable
class MaskedPrior(Protocol):
    """A prior that sees both sides of a code, and is told which codes not to look at."""

    n_codes: int
    folds: int
    doubt: float
    rounds: int

    def logits_beside(self, codes: Tensor, hidden: Tensor, position: Tensor) -> Tensor:
        """Codes (B, h, w), bool hidden (B, h, w), position (B,) → logits (B, K, h, w), given the codes not hidden."""
