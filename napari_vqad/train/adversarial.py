"""What makes a VQ-GAN of a VQ-VAE: a discriminator and a perceptual distance (Esser et al. 2021; Ishii 2023).

    loss  =  L1 + β·commitment + perceptual  −  λ·mean D(X)  +  hinge of the discriminator

    λ  =  weight · ‖∇ (L1 + perceptual)‖ / (‖∇ mean D(X)‖ + δ)        gradients at the decoder's last layer

Tokenizer and discriminator descend in the same step: each term reaches the parameters of one of the two alone.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from napari_vqad.nets.discriminator import Discriminator, hinge
from napari_vqad.nets.vq.registry import OwnTokenizer

DELTA, LARGEST = 1e-4, 1e4


class Adversarial(BaseModel):
    """How a tokenizer is judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(0.8, ge=0, description="of the discriminator's judgement, beside the reconstruction")
    perceptual: float = Field(1.0, ge=0, description="weight of the perceptual distance")
    lpips: Path | None = Field(None, description="safetensors file of VGG16 and LPIPS; else features trained here")
    width: int = Field(32, ge=1, description="channels of the discriminator's first layer")
    halvings: int = Field(2, ge=1, description="of the discriminator; two judge patches of 34 pixels, three of 70")
    pace: float = Field(4.0, gt=0, description="learning rate of the discriminator, as a multiple of the tokenizer's")
    begin: int = Field(0, ge=0, description="step at which the judgement begins to count")


class GanPair(nn.Module):
    """Tokenizer and discriminator, trained as one network."""

    def __init__(self, tokenizer: OwnTokenizer, config: Adversarial) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.discriminator = Discriminator(config.width, config.halvings)
        self._pace = config.pace

    @property
    def parts(self) -> tuple[tuple[nn.Module, float], ...]:
        """What descends on its own, and how fast: gradients are clipped each for itself."""
        return (self.tokenizer, 1.0), (self.discriminator, self._pace)


def discriminator_losses(
    pair: GanPair, slices: Tensor, decoded: Tensor, reconstruction: Tensor, weight: float
) -> dict[str, Tensor]:
    """The adversarial terms: what to add to the loss, and what to draw as curves.

    Args:
        pair: in training.
        slices, decoded: Y and X, (B, 1, H, W) in SD, X with its graph.
        reconstruction: L1 and perceptual distance, a number with its graph.
        weight: 0 before the judgement begins to count.
    """
    critic = pair.discriminator
    learn = hinge(critic(slices), critic(decoded.detach()))
    # The tokenizer's gradient must not reach the discriminator, which descends the other way.
    critic.requires_grad_(False)
    generator_loss = -critic(decoded).mean()
    critic.requires_grad_(True)
    scale = adaptive(reconstruction, generator_loss, pair.tokenizer.decoder.out.weight)
    return {"adversarial": weight * scale * generator_loss + learn, "λ": weight * scale, "hinge": learn}


def adaptive(reconstruction: Tensor, generator_loss: Tensor, last: Tensor) -> Tensor:
    """λ = ‖∇ reconstruction‖ / (‖∇ convince‖ + δ) at the last layer's weights, without a graph."""
    (towards,) = torch.autograd.grad(reconstruction, last, retain_graph=True)
    (against,) = torch.autograd.grad(generator_loss, last, retain_graph=True)
    return (towards.norm() / (against.norm() + DELTA)).clamp(0, LARGEST).detach()
