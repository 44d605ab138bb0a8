"""The autoencoders of Meissen et al. 2022, appendix B: strided convolutions, and transposed ones in the decoder.

    f = n × (conv of stride 2, batch norm, leaky ReLU) → c×h×w → z        g = f mirrored, and a last convolution

    vanilla: flatten, linear layer to z of `latent` numbers        spatial: convolution to z of `latent`×h×w

The paper has n = 5 and h = w = 8 for 256×256 pixels. It does not give c, the widths or the kernels. Unlike the residual
layout, and like the paper's networks, these are not conditioned on the slice position.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from napari_vqad.nets.autoencoder import Latent, LatentNetwork, coarse_grid
from napari_vqad.nets.encoder_decoder import Channels


class StridedSizes(BaseModel):
    """Sizes of the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["strided"] = "strided"
    channels: Channels = Field(
        (32, 64, 128, 128, 32), min_length=1, description="of each strided convolution; the last is c"
    )
    latent: int = Field(128, ge=1, le=65536, description="numbers of a dense latent, or channels of a spatial one")
    spatial: bool = Field(False, description="a bottleneck of convolutions instead of dense layers")
    kl: float = Field(1.0, ge=0, description="weight of the KL divergence in the loss of a VAE")

    @property
    def stride(self) -> int:
        """Pixels per place of the coarsest grid, along each axis."""
        return 2 ** len(self.channels)

    def grid(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the coarsest grid; see `nets.autoencoder.coarse_grid`."""
        return coarse_grid(shape, self.stride)


class StridedAutoencoder(LatentNetwork):
    """Encoder, latent and decoder with batch norm; in eval mode, the slices of a batch are independent."""

    def __init__(self, sizes: StridedSizes, shape: tuple[int, int], variational: bool) -> None:
        super().__init__(variational, sizes.spatial, sizes.kl)
        grid, parts, last = sizes.grid(shape), 2 if variational else 1, sizes.channels[-1]
        upwards = [*sizes.channels[::-1], sizes.channels[0]]
        self.encoder = nn.Sequential(*(_halve(a, b) for a, b in pairwise((1, *sizes.channels))))
        self.decoder = nn.Sequential(*(_double(a, b) for a, b in pairwise(upwards)))
        self.out = nn.Conv2d(sizes.channels[0], 1, 3, padding=1)
        if sizes.spatial:
            self.latent_shape = (sizes.latent, *grid)
            self.into: nn.Module = nn.Conv2d(last, parts * sizes.latent, 1)
            self.out_of: nn.Module = nn.Conv2d(sizes.latent, last, 1)
        else:
            self.latent_shape = (sizes.latent,)
            flat = last * grid[0] * grid[1]
            self.into = nn.Sequential(nn.Flatten(), nn.Linear(flat, parts * sizes.latent))
            self.out_of = nn.Sequential(nn.Linear(sizes.latent, flat), nn.Unflatten(1, (last, *grid)))

    def encode(self, slices: Tensor, position: Tensor) -> Latent:
        """Compute q(z|x) of slices (B, 1, H, W) in SD; the positions (B,) are not used."""
        return self.latent_of(self.into(self.encoder(slices)))

    def decode(self, z: Tensor, position: Tensor) -> Tensor:
        """Compute slices (B, 1, H, W) in SD from latents (B, *latent_shape); the positions (B,) are not used."""
        return self.out(self.decoder(self.out_of(z)))


def _halve(a: int, b: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.BatchNorm2d(b), nn.LeakyReLU())


def _double(a: int, b: int) -> nn.Module:
    up = nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(up, nn.BatchNorm2d(b), nn.LeakyReLU())
