"""Autoencoders and variational autoencoders with a dense or a spatial latent (Baur et al. 2018; Meissen et al. 2022).

    AE:   z = f(x)                          X = g(z)
    VAE:  q(z|x) = N(μ(x), σ²(x))           X = g(z),  z ~ q(z|x)

Encoder and decoder are those of the VQ-VAE, so that detectors differ in their latent only.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from napari_vqad.nets.blocks import PositionFeatures
from napari_vqad.nets.encoder_decoder import Decoder, Encoder, SizesOfEncoder

LOG_VARIANCE = (-12.0, 6.0)  # limits of ln σ²; outside them, σ² would vanish or overflow


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
        """Return the size of the coarsest grid, (h, w), for slices of `shape` pixels.

        Raises:
            ValueError: a side of the slice is not a multiple of the stride.
        """
        return coarse_grid(shape, self.stride)


def coarse_grid(shape: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return the size (h, w) of a grid with one place for each stride × stride pixels of a slice of `shape` pixels.

    Raises:
        ValueError: a side of the slice is not a multiple of the stride.
    """
    if any(side % stride for side in shape):
        raise ValueError(f"a slice of {shape[0]}×{shape[1]} pixels is no whole number of {stride} pixels")
    return shape[0] // stride, shape[1] // stride


class Latent(NamedTuple):
    """q(z|x): mean and ln σ², both (B, latent) or (B, latent, h, w); ln σ² is None for an autoencoder."""

    mean: Tensor
    log_variance: Tensor | None

    def sample(self, noise: Tensor) -> Tensor:
        """Compute z = μ + σ·noise; for an autoencoder, z = μ."""
        return self.mean if self.log_variance is None else self.mean + (0.5 * self.log_variance).exp() * noise

    def kl(self) -> Tensor:
        """Compute KL(q(z|x) ‖ N(0, I)) of each slice, (B,), nats; zero for an autoencoder."""
        if self.log_variance is None:
            return self.mean.new_zeros(len(self.mean))
        each = 0.5 * (self.mean**2 + self.log_variance.exp() - 1 - self.log_variance)
        return each.flatten(1).sum(1)


class LatentNetwork(nn.Module):
    """The interface of autoencoders and VAEs of all layouts.

    Attributes:
        variational: True for a VAE, False for an autoencoder.
        spatial: True if the latent has a vector at each place of a grid, False if it is a single vector.
        kl_weight: weight of the KL divergence in the loss.
        latent_shape: (latent,) or (latent, h, w).
    """

    latent_shape: tuple[int, ...]

    def __init__(self, variational: bool, spatial: bool, kl_weight: float) -> None:
        super().__init__()
        self.variational, self.spatial, self.kl_weight = variational, spatial, kl_weight

    def encode(self, slices: Tensor, position: Tensor) -> Latent:
        """Compute q(z|x) of slices (B, 1, H, W) in SD at positions (B,)."""
        raise NotImplementedError

    def decode(self, z: Tensor, position: Tensor) -> Tensor:
        """Compute slices (B, 1, H, W) in SD from latents (B, *latent_shape) at positions (B,)."""
        raise NotImplementedError

    def latent_of(self, output: Tensor) -> Latent:
        """Return q(z|x), given the output of an encoder's last layer; that of a VAE has the mean, then ln σ²."""
        output = output.float()
        if not self.variational:
            return Latent(output, None)
        mean, log_variance = output.chunk(2, 1)
        return Latent(mean, log_variance.clamp(*LOG_VARIANCE))


class Autoencoder(LatentNetwork):
    """Encoder, latent and decoder; encoder and decoder are conditioned on the slice position."""

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
        """Compute q(z|x) of slices (B, 1, H, W) in SD at positions (B,)."""
        return self.latent_of(self.into(self.encoder(slices, self.position(position))))

    def features(self, slices: Tensor, position: Tensor) -> list[Tensor]:
        """Compute the encoder's features of slices (B, 1, H, W) at each level, (B, C, h, w), fine to coarse."""
        return self.encoder.features(slices, self.position(position))

    def decode(self, z: Tensor, position: Tensor) -> Tensor:
        """Compute slices (B, 1, H, W) in SD from latents (B, *latent_shape) at positions (B,)."""
        return self.decoder(self.out_of(z), self.position(position))


def loss(network: LatentNetwork, slices: Tensor, decoded: Tensor, latent: Latent) -> Tensor:
    """Compute mean |Y − X| + kl · KL / (H·W) of each slice, (B,): Baur et al. 2018, with both terms per pixel.

    If kl = 1 and pixels have a Laplace distribution of scale 1, it is −ELBO / (H·W), up to a constant.
    """
    l1 = (decoded.float() - slices).abs().flatten(1).mean(1)
    pixels = slices[0].numel()
    return l1 + network.kl_weight * latent.kl() / pixels


@torch.no_grad()
def reconstruct(network: LatentNetwork, slices: Tensor, position: Tensor) -> Tensor:
    """Decode the mean of q(z|x) of each slice: (B, 1, H, W) in SD."""
    return network.decode(network.encode(slices, position).mean, position)
