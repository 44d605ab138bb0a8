"""Search for the latent whose generated slice is closest to a given one (AnoGAN, Schlegl et al. 2017, eq. 4 to 6).

    A(z) = (1 − λ) · mean |Y − G(z)| + λ · mean |f(Y) − f(G(z))|

    m ← β₁ m + (1 − β₁) ∇A        v ← β₂ v + (1 − β₂) ∇A²        z ← z − α · m̂ / (√v̂ + ε)        (Adam)

f are the features before the discriminator's last layer. Both terms are means, not sums, so that λ does not depend on
the size of the slice. A search can be continued from its `SearchState`; the result equals that of one long search.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from napari_vqad.nets.gan import Generator, SliceDiscriminator

BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam


class SearchState(NamedTuple):
    """The state of searches after `steps` steps: z, and Adam's moments m and v, (B, latent) each."""

    z: Tensor
    m: Tensor
    v: Tensor
    steps: int

    @classmethod
    def start(cls, z: Tensor) -> SearchState:
        """Return the state of new searches that start from z (B, latent)."""
        return cls(z, torch.zeros_like(z), torch.zeros_like(z), 0)


class LatentSearch:
    """Searches for the latents of a batch of slices.

    Args:
        generator, discriminator: in eval mode.
        slices: Y, (B, 1, H, W), SD.
        position: (B,).
        weight: λ, weight of the features, 0 to 1.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: SliceDiscriminator,
        slices: Tensor,
        position: Tensor,
        weight: float,
    ) -> None:
        self._generator, self._discriminator = generator, discriminator
        self._slices, self._position, self._weight = slices, position, weight
        with torch.no_grad():
            self._features = discriminator.features(slices)

    def loss(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Compute A(z) of each slice, (B,), and G(z), (B, 1, H, W)."""
        generated = self._generator(z, self._position)
        residual = (self._slices - generated).abs().flatten(1).mean(1)
        features = (self._features - self._discriminator.features(generated)).abs().flatten(1).mean(1)
        return (1 - self._weight) * residual + self._weight * features, generated

    def run(self, state: SearchState, steps: int, rate: float, check: Callable[[], None]) -> SearchState:
        """Continue searches to `steps` steps in all; `rate` is α, and `check` is called before each step."""
        z, m, v, done = state
        with torch.enable_grad():
            while done < steps:
                check()
                z = z.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(self.loss(z)[0].sum(), z)
                done += 1
                m = BETAS[0] * m + (1 - BETAS[0]) * gradient
                v = BETAS[1] * v + (1 - BETAS[1]) * gradient**2
                m_hat, v_hat = m / (1 - BETAS[0] ** done), v / (1 - BETAS[1] ** done)
                z = z - rate * m_hat / (v_hat.sqrt() + EPSILON)
        return SearchState(z.detach(), m, v, done)
