"""Networks of MONAI as tokenizer and prior: VQVAE and DecoderOnlyTransformer, in the order of an Ordering.

MONAI is an optional dependency, which is imported only when a bundle of this kind is loaded.
"""

from __future__ import annotations

from importlib import import_module
from math import prod
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.errors import InputError
from napari_vqad.nets.encoder_decoder import Channels
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.vqvae import MOST_CODES

Size = Annotated[int, Field(ge=0, le=64)]  # of a stride, kernel, dilation or padding


class MonaiTokenizerConfig(BaseModel):
    """Arguments of `monai.networks.nets.VQVAE` for slices of one channel; names and defaults are MONAI's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["monai"] = "monai"
    channels: Channels = Field((96, 96, 192), min_length=1)
    num_res_layers: int = Field(3, ge=1, le=32)
    num_res_channels: Channels = (96, 96, 192)
    downsample_parameters: tuple[tuple[Size, Size, Size, Size], ...] = ((2, 4, 1, 1),) * 3
    upsample_parameters: tuple[tuple[Size, Size, Size, Size, Size], ...] = ((2, 4, 1, 1, 0),) * 3
    num_embeddings: int = Field(32, ge=2, le=MOST_CODES)
    embedding_dim: int = Field(64, ge=1, le=4096)

    @model_validator(mode="after")
    def _same_levels(self) -> Self:
        down, up = self.downsample_parameters, self.upsample_parameters
        if {len(self.num_res_channels), len(down), len(up)} != {len(self.channels)}:
            raise ValueError("channels, num_res_channels and both lists of parameters must have one entry a level")
        # Each level must divide (or multiply) a side by exactly its stride.
        shrinks = all(s > 0 and k > 0 and d > 0 and -s <= 2 * p - d * (k - 1) - 1 <= -1 for s, k, d, p in down)
        grows = all(s > 0 and k > 0 and d > 0 and d * (k - 1) + o + 1 - 2 * p == s for s, k, d, p, o in up)
        if not shrinks or not grows or prod(s for s, *_ in up) != self.stride:
            raise ValueError("a level must divide a slice's sides by its stride, and the decoder give them back")
        return self

    @property
    def n_codes(self) -> int:
        """K, size of the codebook."""
        return self.num_embeddings

    @property
    def code_dim(self) -> int:
        """D, length of a codebook vector."""
        return self.embedding_dim

    @property
    def stride(self) -> int:
        """Pixels per code along each axis."""
        return prod(stride for stride, *_ in self.downsample_parameters)

    def levels(self, shape: tuple[int, int]) -> CodeLevels:
        """Return the single level of codes of a slice of `shape` pixels."""
        return CodeLevels((shape[0] // self.stride, shape[1] // self.stride))


class MonaiPriorConfig(BaseModel):
    """Arguments of `monai.networks.nets.DecoderOnlyTransformer`; tokens are the codes and a start token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["monai"] = "monai"
    max_seq_len: int = Field(ge=1, le=2**16)
    attn_layers_dim: int = Field(ge=1, le=16384)
    attn_layers_depth: int = Field(ge=1, le=128)
    attn_layers_heads: int = Field(ge=1)

    @model_validator(mode="after")
    def _even(self) -> Self:
        if self.attn_layers_dim % self.attn_layers_heads:
            raise ValueError("attn_layers_dim must be a multiple of attn_layers_heads")
        return self


class MonaiTokenizer(nn.Module):
    """MONAI's VQVAE, which does not use the slice position."""

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
    """MONAI's transformer, causal in the order of its Ordering, which may differ from raster order.

    The logits have one channel more than there are codes: that of the start token, which counts in the softmax, as in
    MONAI's likelihood, but is never drawn.
    """

    order: Tensor

    def __init__(self, config: MonaiPriorConfig, n_codes: int) -> None:
        super().__init__()
        self.config, self.n_codes = config, n_codes
        self.network = _nets().DecoderOnlyTransformer(num_tokens=n_codes + 1, **config.model_dump(exclude={"kind"}))
        self.register_buffer("order", torch.arange(config.max_seq_len))  # raster index of each place of the sequence

    @property
    def in_order(self) -> bool:
        """Whether the order contains each place exactly once."""
        return torch.equal(self.order.sort().values, torch.arange(len(self.order), device=self.order.device))

    def logits(self, codes: Tensor, position: Tensor) -> Tensor:
        """Codes (B, h, w), position (B,) → logits (B, K + 1, h, w)."""
        sequence = codes.flatten(1)[:, self.order]
        logits = self.network(F.pad(sequence, (1, 0), value=self.n_codes)[:, :-1])
        return logits[:, self.order.argsort()].mT.unflatten(2, codes.shape[1:])


def _nets() -> Any:
    try:
        return import_module("monai.networks.nets")
    except ImportError as error:
        raise InputError("This model needs MONAI: pip install 'napari-vqad[monai]'.") from error
