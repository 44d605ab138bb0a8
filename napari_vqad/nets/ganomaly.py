"""The networks of GANomaly (Akcay et al. 2018): encoder–decoder–encoder, and a discriminator with features.

    z = E1(x)          x̂ = D(z)          ẑ = E2(x̂)

Strided 4×4 convolutions with batch normalisation, as in DCGAN (Radford et al. 2016). All of it works on slices scaled
to −1…1 by the grid's clip range, so that the weights of the losses have the same effect as in the paper.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.encoder_decoder import Channels

Shape = tuple[int, int]


class GanomalySizes(BaseModel):
    """Sizes of the networks; the paper has 64 channels, doubled at each halving down to 4×4, and 100 latents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: Channels = Field(
        (64, 128, 256, 512), min_length=1, description="channels after each halving of the encoders and of the decoder"
    )
    latent: int = Field(100, ge=1, le=65536, description="numbers of z")
    critic_channels: Channels = Field((), description="the same for the discriminator; if empty, those of the encoder")

    def grids(self, shape: Shape) -> list[Shape]:
        """Return the sizes of a slice of `shape` pixels before and after each halving, rounded down.

        Raises:
            ValueError: the slice is smaller than the halvings need.
        """
        halvings = max(len(self.channels), len(self.critic_channels))
        if min(shape) < 2**halvings:
            raise ValueError(f"a slice of {shape[0]}×{shape[1]} pixels is too small for {halvings} halvings")
        return [(shape[0] >> i, shape[1] >> i) for i in range(len(self.channels) + 1)]


class Halvings(nn.Module):
    """Slices (B, 1, H, W) → features (B, C, h, w): strided convolutions, batch normalisation, leaky ReLU."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        # The first layer has no normalisation, as in DCGAN.
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False) for a, b in pairwise((1, *channels))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels[1:])

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) → (B, C, h, w)."""
        x = F.leaky_relu(self.convs[0](x), 0.2)
        for conv, norm in zip(self.convs[1:], self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), 0.2)
        return x


class LatentEncoder(nn.Module):
    """Slices (B, 1, H, W) in −1…1 → latents (B, latent)."""

    def __init__(self, sizes: GanomalySizes, shape: Shape) -> None:
        super().__init__()
        self.features = Halvings(sizes.channels)
        self.out = nn.Conv2d(sizes.channels[-1], sizes.latent, sizes.grids(shape)[-1], bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1, H, W) → (B, latent)."""
        return self.out(self.features(x)).flatten(1)


class LatentDecoder(nn.Module):
    """Latents (B, latent) → slices (B, 1, H, W) in −1…1: transposed convolutions, batch normalisation, ReLU."""

    def __init__(self, sizes: GanomalySizes, shape: Shape) -> None:
        super().__init__()
        channels, grids = sizes.channels[::-1], sizes.grids(shape)[::-1]
        self.grids = grids[1:]
        self.into = nn.ConvTranspose2d(sizes.latent, channels[0], grids[0], bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels)
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False) for a, b in pairwise((*channels, 1))
        )

    def forward(self, z: Tensor) -> Tensor:
        """(B, latent) → (B, 1, H, W)."""
        x = self.into(z[:, :, None, None])
        for norm, conv, grid in zip(self.norms, self.convs, self.grids, strict=True):
            x = conv(F.relu(norm(x)), output_size=grid)
        return torch.tanh(x)


class Passed(NamedTuple):
    """The outputs of the generator for slices x: x̂ (B, 1, H, W) in −1…1, z and ẑ (B, latent); float32."""

    decoded: Tensor
    z: Tensor
    z_again: Tensor


class Generator(nn.Module):
    """Encoder E1, decoder D, and the second encoder E2."""

    def __init__(self, sizes: GanomalySizes, shape: Shape, clip: tuple[float, float]) -> None:
        super().__init__()
        self.centre, self.radius = (clip[0] + clip[1]) / 2, (clip[1] - clip[0]) / 2
        self.encoder, self.decoder = LatentEncoder(sizes, shape), LatentDecoder(sizes, shape)
        self.encoder_again = LatentEncoder(sizes, shape)
        self.apply(init_dcgan)

    def scaled(self, slices: Tensor) -> Tensor:
        """Scale slices from SD to −1…1."""
        return (slices - self.centre) / self.radius

    def unscaled(self, x: Tensor) -> Tensor:
        """Scale slices from −1…1 to SD."""
        return x * self.radius + self.centre

    def forward(self, x: Tensor) -> Passed:
        """Pass slices (B, 1, H, W) in −1…1 through E1, D and E2."""
        z = self.encoder(x)
        decoded = self.decoder(z)
        return Passed(decoded.float(), z.float(), self.encoder_again(decoded).float())


class FeatureDiscriminator(nn.Module):
    """One number for each slice, and the features f before the last layer."""

    def __init__(self, sizes: GanomalySizes, shape: Shape) -> None:
        super().__init__()
        channels = sizes.critic_channels or sizes.channels
        self.features = Halvings(channels)
        self.out = nn.Conv2d(channels[-1], 1, (shape[0] >> len(channels), shape[1] >> len(channels)), bias=False)
        self.apply(init_dcgan)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Slices (B, 1, H, W) in −1…1 → logits (B,), high where they look real, and f (B, C, h, w); float32."""
        features = self.features(x)
        return self.out(features).flatten().float(), features.float()


def init_dcgan(layer: nn.Module) -> None:
    """Initialise the weights of a layer as in DCGAN: N(0, 0.02²), for normalisations N(1, 0.02²)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


def reconstruction_loss(x: Tensor, passed: Passed) -> Tensor:
    """Compute L_con = mean |x − x̂|."""
    return (x - passed.decoded).abs().mean()


def latent_loss(passed: Passed) -> Tensor:
    """Compute L_enc = mean (z − ẑ)²."""
    return F.mse_loss(passed.z_again, passed.z)


def feature_loss(real: Tensor, decoded: Tensor) -> Tensor:
    """Compute L_adv = mean (f(x) − f(x̂))²: feature matching (Salimans et al. 2016)."""
    return F.mse_loss(decoded, real)


def discriminator_loss(real: Tensor, decoded: Tensor) -> Tensor:
    """Compute the binary cross-entropy ½ (−mean log σ(D(x)) − mean log(1 − σ(D(x̂)))), given logits."""
    return 0.5 * (F.softplus(-real).mean() + F.softplus(decoded).mean())
