"""All tokenizers and priors: their configs, told apart by `kind`, and the networks that these describe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from napari_vqad.nets.vq.gpt2 import GPT2, GPT2Config
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.masked_transformer import MaskedConfig, MaskedTransformer
from napari_vqad.nets.vq.monai import MonaiPrior, MonaiPriorConfig, MonaiTokenizer, MonaiTokenizerConfig
from napari_vqad.nets.vq.pixelsnail import PixelSNAIL, PixelSnailConfig
from napari_vqad.nets.vq.pixelsnail_paper import PaperSNAIL, PaperSnailConfig
from napari_vqad.nets.vq.two_level import TwoLevelConfig, TwoLevelPrior, levels_of
from napari_vqad.nets.vq.vqvae import VQVAE
from napari_vqad.nets.vq.vqvae import TokenizerConfig as VQVAEConfig
from napari_vqad.nets.vq.vqvae2 import VQVAE2, VQVAE2Config
from napari_vqad.nets.vq.vqvae_esser import EsserConfig, EsserVQVAE


def _kind_or(first: str) -> Callable[[Any], str]:
    """Return a function that reads the kind of a config; configs of the first version, without a kind, are `first`."""

    def kind_of(given: Any) -> str:
        return str(given.get("kind", first) if isinstance(given, dict) else getattr(given, "kind", ""))

    return kind_of


OwnTokenizer = VQVAE | VQVAE2 | EsserVQVAE  # tokenizers that `napari-vqad train` trains
OwnTokenizerConfig = Annotated[
    Annotated[VQVAEConfig, Tag("vqvae")]
    | Annotated[VQVAE2Config, Tag("vqvae2")]
    | Annotated[EsserConfig, Tag("vqvae-esser")],
    Discriminator(_kind_or("vqvae")),
]
TokenizerConfig = Annotated[
    Annotated[VQVAEConfig, Tag("vqvae")]
    | Annotated[VQVAE2Config, Tag("vqvae2")]
    | Annotated[EsserConfig, Tag("vqvae-esser")]
    | Annotated[MonaiTokenizerConfig, Tag("monai")],
    Discriminator(_kind_or("vqvae")),
]
PriorConfig = Annotated[
    Annotated[PixelSnailConfig, Tag("pixelsnail")]
    | Annotated[PaperSnailConfig, Tag("pixelsnail-paper")]
    | Annotated[GPT2Config, Tag("gpt2")]
    | Annotated[MaskedConfig, Tag("masked")]
    | Annotated[TwoLevelConfig, Tag("two-level")]
    | Annotated[MonaiPriorConfig, Tag("monai")],
    Discriminator(_kind_or("pixelsnail")),
]


def make_own(config: OwnTokenizerConfig) -> OwnTokenizer:
    """Make the untrained network that a config describes."""
    if isinstance(config, EsserConfig):
        return EsserVQVAE(config)
    return VQVAE2(config) if isinstance(config, VQVAE2Config) else VQVAE(config)


def make_tokenizer(config: TokenizerConfig) -> OwnTokenizer | MonaiTokenizer:
    """Make the untrained network that a config describes."""
    return MonaiTokenizer(config) if isinstance(config, MonaiTokenizerConfig) else make_own(config)


OwnPrior = PixelSNAIL | PaperSNAIL | GPT2 | MaskedTransformer | TwoLevelPrior


def make_prior(config: PriorConfig, n_codes: int) -> OwnPrior | MonaiPrior:
    """Make the untrained network that a config describes."""
    if isinstance(config, PaperSnailConfig):
        return PaperSNAIL(config, n_codes)
    if isinstance(config, GPT2Config):
        return GPT2(config, n_codes)
    if isinstance(config, MaskedConfig):
        return MaskedTransformer(config, n_codes)
    if isinstance(config, TwoLevelConfig):
        return TwoLevelPrior(config, n_codes)
    if isinstance(config, MonaiPriorConfig):
        return MonaiPrior(config, n_codes)
    return PixelSNAIL(config, n_codes)


def fits_grid(config: PriorConfig, levels: CodeLevels) -> bool:
    """Check whether the prior has a place for each code of these levels."""
    if isinstance(config, TwoLevelConfig):
        longest = max(config.shape)
        fits = longest <= config.top.max_side and 2 * longest <= config.bottom.max_side
        return fits and levels.shapes == levels_of(config).shapes
    if len(levels.shapes) > 1:
        return False
    h, w = levels.shape
    if isinstance(config, PaperSnailConfig):
        return True
    if isinstance(config, MonaiPriorConfig):
        return h * w == config.max_seq_len
    if isinstance(config, GPT2Config):
        return h * w <= config.places
    return max(h, w) <= config.max_side
