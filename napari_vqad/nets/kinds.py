"""Which tokenizers and priors there are: configs told apart by their `kind`, and the networks that they describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from napari_vqad.nets.gpt2 import GPT2, GPT2Config
from napari_vqad.nets.masked import MaskedConfig, MaskedTransformer
from napari_vqad.nets.monai import MonaiPrior, MonaiPriorConfig, MonaiTokenizer, MonaiTokenizerConfig
from napari_vqad.nets.pixelsnail import PixelSNAIL, PixelSnailConfig
from napari_vqad.nets.tokenizer import VQVAE
from napari_vqad.nets.tokenizer import TokenizerConfig as VQVAEConfig


def _kind_or(first: str) -> Callable[[Any], str]:
    """Bundles from before there was a choice do not name the kind."""
    return lambda given: given.get("kind", first) if isinstance(given, dict) else given.kind


TokenizerConfig = Annotated[
    Annotated[VQVAEConfig, Tag("vqvae")] | Annotated[MonaiTokenizerConfig, Tag("monai")],
    Discriminator(_kind_or("vqvae")),
]
PriorConfig = Annotated[
    Annotated[PixelSnailConfig, Tag("pixelsnail")]
    | Annotated[GPT2Config, Tag("gpt2")]
    | Annotated[MaskedConfig, Tag("masked")]
    | Annotated[MonaiPriorConfig, Tag("monai")],
    Discriminator(_kind_or("pixelsnail")),
]


def make_tokenizer(config: TokenizerConfig) -> VQVAE | MonaiTokenizer:
    """The network that a config describes, its weights at their start."""
    return MonaiTokenizer(config) if isinstance(config, MonaiTokenizerConfig) else VQVAE(config)


def make_prior(config: PriorConfig, n_codes: int) -> PixelSNAIL | GPT2 | MaskedTransformer | MonaiPrior:
    """The network that a config describes, its weights at their start."""
    if isinstance(config, GPT2Config):
        return GPT2(config, n_codes)
    if isinstance(config, MaskedConfig):
        return MaskedTransformer(config, n_codes)
    if isinstance(config, MonaiPriorConfig):
        return MonaiPrior(config, n_codes)
    return PixelSNAIL(config, n_codes)


def has_places(config: PriorConfig, shape: tuple[int, int]) -> bool:
    """Has the prior a place for every code of a grid (h, w)?"""
    if isinstance(config, MonaiPriorConfig):
        return shape[0] * shape[1] == config.max_seq_len
    if isinstance(config, GPT2Config):
        return shape[0] * shape[1] <= config.places
    return max(shape) <= config.max_side
