"""Variational autoencoders of vectors, such as the diffusion measurements of a voxel (Vasilev et al. 2018).

    q(z|x) = N(μ_z(x), diag σ_z²(x))          p(x|z) = N(μ_x(z), diag σ_x²(z))          p(z) = N(0, I)

Encoder and decoder both give a mean and a variance. The networks of the paper have 46 measurements per voxel and the
layers 46-64-32-16-8-16-32-64-46, 46-128-64-32-16-… and 46-128-64-48-24-…; here the data give the number of
measurements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

LOG_VARIANCE = (-12.0, 6.0)  # of q(z|x); beyond it, exp overflows or the code has no noise left
MOST = 20.0  # ln σ² of p(x|z), for codes far from all that were seen in training
Width = Annotated[int, Field(ge=1, le=65536)]
Shape = Literal["8", "16", "24"]
# Hidden layers of the encoder and numbers of z; the decoder mirrors them.
SHAPES: dict[Shape, tuple[tuple[int, ...], int]] = {
    "8": ((64, 32, 16), 8),
    "16": ((128, 64, 32), 16),
    "24": ((128, 64, 48), 24),
}


class Gaussian(NamedTuple):
    """Normal distributions with diagonal covariance: means and ln σ², (B, D) each."""

    mean: Tensor
    log_variance: Tensor


class VectorVAESizes(BaseModel):
    """Sizes that all VAEs of vectors have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    latent: int = Field(8, ge=1, le=4096, description="numbers of z")
    least_sd: float = Field(
        0.01, gt=0, le=1e3, allow_inf_nan=False, description="lower bound of the decoder's σ, in units of the input"
    )


class VoxelVAESizes(VectorVAESizes):
    """Sizes of a fully connected VAE."""

    kind: Literal["dense"] = "dense"
    measurements: int = Field(ge=1, le=65536, description="numbers of a voxel: its diffusion measurements")
    hidden: Annotated[tuple[Width, ...], Field(max_length=8)] = Field(
        (64, 32, 16), description="hidden layers of the encoder; those of the decoder are the same in reverse"
    )

    @classmethod
    def of(cls, shape: Shape, measurements: int) -> VoxelVAESizes:
        """Return the sizes of one of the paper's three networks, named by the numbers of z."""
        hidden, latent = SHAPES[shape]
        return cls(measurements=measurements, hidden=hidden, latent=latent)


class VectorVAE(nn.Module):
    """What VAEs of vectors offer: `encode` and `decode`; a subclass has an `encoder` and a `decoder`.

    Attributes:
        measurements: numbers of a vector x.
        latent: numbers of z.
        encoder: vectors (B, measurements) → (B, 2·latent), means and ln σ² of q(z|x).
        decoder: codes (B, latent) → (B, 2·measurements), means and a raw ln σ² of p(x|z).
    """

    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, measurements: int, latent: int, least_sd: float) -> None:
        super().__init__()
        self.measurements, self.latent = measurements, latent
        self._least = 2 * math.log(least_sd)

    def encode(self, x: Tensor) -> Gaussian:
        """Compute q(z|x) of vectors (B, measurements): means and ln σ², (B, latent) each."""
        mean, log_variance = self.encoder(x).float().chunk(2, 1)
        return Gaussian(mean, log_variance.clamp(*LOG_VARIANCE))

    def decode(self, z: Tensor) -> Gaussian:
        """Compute p(x|z) of codes (B, latent): means and ln σ², (B, measurements) each.

        σ² = least_sd² + e^raw, which is smooth, as the search for the closest generated vector needs it.
        """
        mean, raw = self.decoder(z).float().chunk(2, 1)
        return Gaussian(mean, torch.logaddexp(raw.clamp(max=MOST), raw.new_tensor(self._least)))


class VoxelVAE(VectorVAE):
    """A fully connected VAE of voxels; each voxel is a vector of its own, without its neighbours."""

    def __init__(self, sizes: VoxelVAESizes) -> None:
        super().__init__(sizes.measurements, sizes.latent, sizes.least_sd)
        self.encoder = _dense((sizes.measurements, *sizes.hidden, 2 * sizes.latent))
        self.decoder = _dense((sizes.latent, *sizes.hidden[::-1], 2 * sizes.measurements))


def _dense(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


class DigitVAESizes(VectorVAESizes):
    """Sizes of the convolutional VAE for square images."""

    kind: Literal["convolutional"] = "convolutional"
    side: int = Field(28, ge=2, le=512, multiple_of=2, description="side of an image, pixels")
    channels: tuple[Width, Width] = Field(
        (8, 16), description="channels of the convolutions at full and at half resolution"
    )
    latent: int = Field(16, ge=1, le=4096, description="numbers of z")
    least_sd: float = Field(0.1, gt=0, le=1e3, allow_inf_nan=False, description="lower bound of the decoder's σ")


class DigitVAE(VectorVAE):
    """The convolutional VAE of the paper's MNIST experiment; images enter and leave it as vectors of their pixels.

    The layers are those that table 2 names: two convolutions with max-pooling, z, a convolution, a transposed
    convolution and a convolution; 3×3, stride 1, zero padding. The copy of the table at hand has no sizes; channels and
    numbers z are chosen here.
    """

    def __init__(self, sizes: DigitVAESizes) -> None:
        super().__init__(sizes.side**2, sizes.latent, sizes.least_sd)
        (a, b), half = sizes.channels, sizes.side // 2
        self.encoder = nn.Sequential(
            nn.Unflatten(1, (1, sizes.side, sizes.side)),
            nn.Conv2d(1, a, 3, padding=1),
            nn.MaxPool2d(2),
            nn.SiLU(),
            nn.Conv2d(a, b, 3, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(b * half**2, 2 * sizes.latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(sizes.latent, b * half**2),
            nn.Unflatten(1, (b, half, half)),
            nn.Conv2d(b, b, 3, padding=1),
            nn.SiLU(),
            nn.ConvTranspose2d(b, a, 2, stride=2),
            nn.SiLU(),
            nn.Conv2d(a, 2, 3, padding=1),
            nn.Flatten(),
        )


VAESizes = Annotated[VoxelVAESizes | DigitVAESizes, Field(discriminator="kind")]


def make_vector_vae(sizes: VAESizes) -> VectorVAE:
    """Make the network of these sizes, its weights at their start."""
    return DigitVAE(sizes) if isinstance(sizes, DigitVAESizes) else VoxelVAE(sizes)
