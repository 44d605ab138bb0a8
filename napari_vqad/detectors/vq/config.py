"""`config.json` of a vector-quantised bundle."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from napari_vqad.detectors.base import BundleConfig
from napari_vqad.detectors.vq.settings import Method
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.masked_transformer import MaskedConfig
from napari_vqad.nets.vq.registry import PriorConfig, TokenizerConfig, fits_grid


class VQConfig(BundleConfig):
    """Tokenizer, prior and grid. A config.json without the entry "detector" is of this kind."""

    detector: Literal["vq"] = "vq"
    tokenizer: TokenizerConfig
    prior: PriorConfig

    @model_validator(mode="after")
    def _prior_reaches(self) -> VQConfig:
        (height, width), stride = self.grid.shape, self.tokenizer.stride
        if height % stride or width % stride:
            raise ValueError(
                f"a slice of {height}×{width} pixels is no whole number of codes of {stride}×{stride} pixels"
            )
        levels = self.levels
        if getattr(self.tokenizer, "context", 0) and any(n % 2 for n in levels.shape):
            raise ValueError("a tokenizer with context has an even number of codes along each side")
        if not fits_grid(self.prior, levels):
            grids = " and ".join(f"{h}×{w}" for h, w in levels.shapes)
            raise ValueError(f"the prior has no place for a grid of {grids} codes")
        return self

    @property
    def levels(self) -> CodeLevels:
        """The levels of codes of a slice."""
        return self.tokenizer.levels(self.grid.shape)

    @property
    def methods(self) -> tuple[Method, ...]:
        """The restoration methods that the prior supports, the default first."""
        masked = isinstance(self.prior, MaskedConfig)
        return ("masked", "regenerative") if masked else ("anchored", "sequential", "light", "regenerative")
