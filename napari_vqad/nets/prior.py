"""The priors: what is asked of them, and which there are."""

from __future__ import annotations

from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import Discriminator, Tag
from torch import Tensor

from napari_vqad.nets.gpt2 import GPT2, GPT2Config
from napari_vqad.nets.masked import MaskedConfig, MaskedTransformer
from napari_vqad.nets.memory import Memory
from napari_vqad.nets.pixelsnail import PixelSNAIL, PixelSnailConfig


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


@runtime_checkable
class MaskedPrior(Protocol):
    """A prior that sees both sides of a code, and is told which codes not to look at."""

    n_codes: int
    folds: int
    doubt: float
    rounds: int

    def logits_beside(self, codes: Tensor, hidden: Tensor, position: Tensor) -> Tensor:
        """Codes (B, h, w), bool hidden (B, h, w), position (B,) → logits (B, K, h, w), given the codes not hidden."""


def _kind(given: Any) -> str:
    # Bundles from before there was a choice do not name it.
    return given.get("kind", "pixelsnail") if isinstance(given, dict) else given.kind


PriorConfig = Annotated[
    Annotated[PixelSnailConfig, Tag("pixelsnail")]
    | Annotated[GPT2Config, Tag("gpt2")]
    | Annotated[MaskedConfig, Tag("masked")],
    Discriminator(_kind),
]


def make_prior(config: PriorConfig, n_codes: int) -> PixelSNAIL | GPT2 | MaskedTransformer:
    """The network that a config describes, its weights at their start."""
    if isinstance(config, GPT2Config):
        return GPT2(config, n_codes)
    if isinstance(config, MaskedConfig):
        return MaskedTransformer(config, n_codes)
    return PixelSNAIL(config, n_codes)
