"""Autoencoders and variational autoencoders with a dense or a spatial latent (Baur et al. 2018; Meissen et al. 2022).

    AE:   z = f(x)                          X = g(z)
    VAE:  q(z|x) = N(μ(x), σ²(x))           X = g(z),  z ~ q(z|x)

Encoder and decoder are those of the VQ-VAE, so that detectors differ in their latent alone.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from napari_vqad.nets.blocks import PositionFeatures
from napari_vqad.nets.encoder_decoder import Decoder, Encoder, SizesOfEncoder

LOG_VARIANCE = (-12.0, 6.0)  # beyond it, exp would say nothing or overflow


class AutoencoderSizes(SizesOfEncoder):
    """Sizes of the network. A dense latent is one vector; a spatial one has a vector at each place of a coarse grid."""

    kind: Literal["residual"] = "residual"
    latent: int = Field(128, ge=1, le=65536, description="numbers of a dense latent, or channels of a spatial one")
    spatial: bool = Field(False, description="keep the grid: no dense layer")
    kl: float = Field(1.0, ge=0, description="weight of the KL divergence in the loss of a VAE")

    @model_validator(mode="after")
    def _has_no_context(self) -> Self:
        if self.context:
            raise ValueError("an autoencoder has no context")
        return self

    def grid(self, shape: tuple[int, int]) -> tuple[int, int]:
        """The coarsest grid of a slice of `shape` pixels.

        Raises:
            ValueError: a side is no whole number of its places.
        """
        return coarse_grid(shape, self.stride)


def coarse_grid(shape: tuple[int, int], stride: int) -> tuple[int, int]:
    """The grid of places of stride × stride pixels in a slice of `shape` pixels.

    Raises:
        ValueError: a side is no whole number of places.
    """
    if any(side % stride for side in shape):
        raise ValueError(f"a slice of {shape[0]}×{shape[1]} pixels is no whole number of {stride} pixels")
    return shape[0] // stride, shape[1] // stride


class Latent(NamedTuple):
    """q(z|x): mean and ln σ², both (B, latent) or (B, latent, h, w); an autoencoder has no ln σ²."""

    mean: Tensor
    log_variance: Tensor | None

    def sample(self, noise: Tensor) -> Tensor:
        """z = μ + σ·noise."""
        return self.mean if self.log_variance is None else self.mean + (0.5 * self.log_variance).exp() * noise

    def kl(self) -> Tensor:
        """KL(q(z|x) ‖ N(0, I)) of each slice, (B,), nats."""
        if self.log_variance is None:
            return self.mean.new_zeros(len(self.mean))
        each = 0.5 * (self.mean**2 + self.log_variance.exp() - 1 - self.log_variance)
        return each.flatten(1).sum(1)


class LatentNetwork(nn.Module):
    """What autoencoders and VAEs of all layouts offer: slices to latents and back.

    Attributes:
        variational: a VAE; else an autoencoder.
        spatial: the latent has a vector at each place of a grid; else it is one vector.
        kl_weight: weight of the KL divergence in the loss.
        latent_shape: (latent,) or (latent, h, w).
    """

    latent_shape: tuple[int, ...]

    def __init__(self, variational: bool, spatial: bool, kl_weight: float) -> None:
        super().__init__()
        self.variational, self.spatial, self.kl_weight = variational, spatial, kl_weight

    def encode(self, slices: Tensor, position: Tensor) -> Latent:
        """q(z|x) of slices (B, 1, H, W) in SD at positions (B,)."""
        raise NotImplementedError

    def decode(self, z: Tensor, position: Tensor) -> Tensor:
        """Slices (B, 1, H, W) in SD of latents (B, *latent_shape)."""
        raise NotImplementedError

    def latent_of(self, found: Tensor) -> Latent:
        """q(z|x) of what the last layer of an encoder found; of a VAE the mean, then ln σ²."""
        found = found.float()
        if not self.variational:
            return Latent(found, None)
        mean, log_variance = found.chunk(2, 1)
        return Latent(mean, log_variance.clamp(*LOG_VARIANCE))


class Autoencoder(LatentNetwork):
    """Encoder, latent, decoder; encoder and decoder are told the slice position."""

    def __init__(self, sizes: AutoencoderSizes, shape: tuple[int, int], variational: bool) -> None:
        super().__init__(variational, sizes.spatial, sizes.kl)
        grid, parts = sizes.grid(shape), 2 if variational else 1
        self.position = PositionFeatures(sizes.condition)
        self.encoder, self.decoder = Encoder(sizes), Decoder(sizes)
        if sizes.spatial:
            self.latent_shape = (sizes.latent, *grid)
            self.into: nn.Module = nn.Conv2d(sizes.code_dim, parts * sizes.latent, 1)
            self.out_of: nn.Module = nn.Conv2d(sizes.latent, sizes.code_dim, 1)
        else:
            self.latent_shape = (sizes.latent,)
            flat = sizes.code_dim * grid[0] * grid[1]
            self.into = nn.Sequential(nn.Flatten(), nn.Linear(flat, parts * sizes.latent))
            self.out_of = nn.Sequential(nn.Linear(sizes.latent, flat), nn.Unflatten(1, (sizes.code_dim, *grid)))

    def encode(self, slices: Tensor, position: Tensor) -> Latent:
        """q(z|x) of slices (B, 1, H, W) in SD at positions (B,)."""
        return self.latent_of(self.into(self.encoder(slices, self.position(position))))

    def features(self, slices: Tensor, position: Tensor) -> list[Tensor]:
        """What the encoder finds at each of its levels in slices (B, 1, H, W), (B, C, h, w) each, fine to coarse."""
        return self.encoder.features(slices, self.position(position))

    def decode(self, z: Tensor, position: Tensor) -> Tensor:
        """Slices (B, 1, H, W) in SD of latents (B, *latent_shape)."""
        return self.decoder(self.out_of(z), self.position(position))


def loss(network: LatentNetwork, slices: Tensor, decoded: Tensor, latent: Latent) -> Tensor:
    """mean |Y − X| + kl · KL / (H·W) of each slice, (B,): Baur et al. 2018, with both terms as means over the pixels.

    It is −ELBO / (H·W) for kl = 1 and pixels with a Laplace distribution of scale 1, up to a constant.
    """
    wrong = (decoded.float() - slices).abs().flatten(1).mean(1)
    pixels = slices[0].numel()
    return wrong + network.kl_weight * latent.kl() / pixels


@torch.no_grad()
def reconstruct(network: LatentNetwork, slices: Tensor, position: Tensor) -> Tensor:
    """decode(mean of q(z|x)), (B, 1, H, W)."""
    return network.decode(network.encode(slices, position).mean, position)
