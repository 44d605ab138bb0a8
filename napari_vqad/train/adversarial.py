"""What makes a VQ-GAN of a VQ-VAE: a discriminator and a perceptual distance (Esser et al. 2021; Ishii 2023).

    loss  =  error + codebook + β·commitment + perceptual  +  λ·G  +  loss of the discriminator

    λ  =  weight · ‖∇ (error + perceptual)‖ / (‖∇ G‖ + δ)        gradients at the decoder's last layer
                                                                     (at most 1e4, as in Ishii's code)

    G  =  −mean D(X) with the hinge loss, mean log(1 − σ(D(X))) with the log loss (Ishii 2023, eq. 13)

Tokenizer and discriminator descend in the same step: each term reaches the parameters of one of the two alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from napari_vqad.nets.discriminator import LOSSES, Discriminator
from napari_vqad.nets.vq.registry import OwnTokenizer

LARGEST = 1e4  # λ


class Adversarial(BaseModel):
    """How a tokenizer is judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(0.8, ge=0, description="of the discriminator's judgement, beside the reconstruction")
    loss: Literal["hinge", "log"] = Field(
        "hinge", description="hinge as in Esser et al. 2021, log as in Ishii's eq. 13"
    )
    delta: float = Field(1e-4, gt=0, description="δ, which keeps λ finite; 1e-6 in Ishii's eq. 16")
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
    pair: GanPair, slices: Tensor, decoded: Tensor, reconstruction: Tensor, config: Adversarial, step: int
) -> dict[str, Tensor]:
    """The adversarial terms: what to add to the loss, and what to draw as curves.

    Args:
        pair: in training.
        slices, decoded: Y and X, (B, 1, H, W) in SD, X with its graph.
        reconstruction: error and perceptual distance, a number with its graph.
        config: the losses, and the step at which the judgement begins to count.
        step: of the training.
    """
    critic = pair.discriminator
    learn_loss, convince_loss = LOSSES[config.loss]
    learn = learn_loss(critic(slices), critic(decoded.detach()))
    # The tokenizer's gradient must not reach the discriminator, which descends the other way.
    critic.requires_grad_(False)
    convince = convince_loss(critic(decoded))
    critic.requires_grad_(True)
    scale = adaptive(reconstruction, convince, pair.tokenizer.decoder.out.weight, config.delta)
    weight = config.weight if step >= config.begin else 0.0
    return {"adversarial": weight * scale * convince + learn, "λ": weight * scale, "discriminator": learn}


def adaptive(reconstruction: Tensor, convince: Tensor, last: Tensor, delta: float) -> Tensor:
    """λ = ‖∇ reconstruction‖ / (‖∇ G‖ + δ) at the last layer's weights, without a graph."""
    (towards,) = torch.autograd.grad(reconstruction, last, retain_graph=True)
    (against,) = torch.autograd.grad(convince, last, retain_graph=True)
    return (towards.norm() / (against.norm() + delta)).clamp(0, LARGEST).detach()
