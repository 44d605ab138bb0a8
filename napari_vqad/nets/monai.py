"""Networks of MONAI as tokenizer and prior: its VQVAE and DecoderOnlyTransformer, in the order of its Ordering.

MONAI is an extra: it is imported when a bundle of this kind is loaded, and not before.
"""

from __future__ import annotations

from importlib import import_module
from math import prod
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.errors import InputError
from napari_vqad.nets.levels import Levels


class MonaiTokenizerConfig(BaseModel):
    """Arguments of `monai.networks.nets.VQVAE` for slices of one channel; names and defaults are MONAI's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["monai"] = "monai"
    channels: tuple[int, ...] = (96, 96, 192)
    num_res_layers: int = Field(3, ge=1)
    num_res_channels: tuple[int, ...] = (96, 96, 192)
    downsample_parameters: tuple[tuple[int, int, int, int], ...] = ((2, 4, 1, 1),) * 3
    upsample_parameters: tuple[tuple[int, int, int, int, int], ...] = ((2, 4, 1, 1, 0),) * 3
    num_embeddings: int = Field(32, ge=2)
    embedding_dim: int = Field(64, ge=1)

    @property
    def n_codes(self) -> int:
        """K."""
        return self.num_embeddings

    @property
    def code_dim(self) -> int:
        """D."""
        return self.embedding_dim

    @property
    def stride(self) -> int:
        """Pixels to a code, along each axis."""
        return prod(stride for stride, *_ in self.downsample_parameters)

    def levels(self, shape: tuple[int, int]) -> Levels:
        """The one level of codes of a slice of `shape` pixels."""
        return Levels((shape[0] // self.stride, shape[1] // self.stride))


class MonaiPriorConfig(BaseModel):
    """Arguments of `monai.networks.nets.DecoderOnlyTransformer`; its tokens are the codes and a start token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["monai"] = "monai"
    max_seq_len: int = Field(ge=1)
    attn_layers_dim: int = Field(ge=1)
    attn_layers_depth: int = Field(ge=1)
    attn_layers_heads: int = Field(ge=1)


class MonaiTokenizer(nn.Module):
    """MONAI's VQVAE; the slice position plays no part."""

    def __init__(self, config: MonaiTokenizerConfig) -> None:
        super().__init__()
        self.config, self.n_codes, self.stride = config, config.n_codes, config.stride
        self.network: Any = _nets().VQVAE(2, 1, 1, **config.model_dump(exclude={"kind"}))

    def encode(self, slices: Tensor, position: Tensor) -> Tensor:
        """Slices (B, 1, H, W) → codes (B, h, w)."""
        return self.network.index_quantize(slices)

    def decode(self, codes: Tensor, position: Tensor) -> Tensor:
        """Codes (B, h, w) → slices (B, 1, H, W)."""
        return self.network.decode_samples(codes)


class MonaiPrior(nn.Module):
    """MONAI's transformer: causal in the order of its Ordering, which need not be raster order.

    The logits have one channel more than there are codes: the start token takes part in the sum, as in MONAI's
    likelihood, and is never drawn.
    """

    order: Tensor

    def __init__(self, config: MonaiPriorConfig, n_codes: int) -> None:
        super().__init__()
        self.config, self.n_codes = config, n_codes
        self.network = _nets().DecoderOnlyTransformer(num_tokens=n_codes + 1, **config.model_dump(exclude={"kind"}))
        self.register_buffer("order", torch.arange(config.max_seq_len))  # the raster place of each of the sequence

    def logits(self, codes: Tensor, position: Tensor) -> Tensor:
        """Codes (B, h, w), position (B,) → logits (B, K + 1, h, w)."""
        sequence = codes.flatten(1)[:, self.order]
        said = self.network(F.pad(sequence, (1, 0), value=self.n_codes)[:, :-1])
        return said[:, self.order.argsort()].mT.unflatten(2, codes.shape[1:])


def _nets() -> Any:
    try:
        return import_module("monai.networks.nets")
    except ImportError as error:
        raise InputError("This model is made of networks of MONAI: pip install 'napari-vqad[monai]'.") from error
