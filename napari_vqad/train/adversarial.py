"""A VQ-GAN's training against a discriminator, with a perceptual distance (Esser et al. 2021; Ishii 2023).

    loss  =  error + codebook + β·commitment + perceptual  +  λ·G  +  loss of the discriminator

    λ  =  weight · ‖∇ (error + perceptual)‖ / (‖∇ G‖ + δ)        gradients at the decoder's last layer
                                                                     (at most 1e4, as in Ishii's code)

    G  =  −mean D(X) with the hinge loss, mean log(1 − σ(D(X))) with the log loss (Ishii 2023, eq. 13)

Tokenizer and discriminator are updated in the same step. The gradient of each term reaches only one of the two.
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
    """Settings of the adversarial training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(0.8, ge=0, description="weight of the discriminator's judgement, beside the reconstruction")
    loss: Literal["hinge", "log"] = Field(
        "hinge", description="hinge as in Esser et al. 2021, log as in Ishii's eq. 13"
    )
    delta: float = Field(1e-4, gt=0, description="δ, which keeps λ finite; 1e-6 in Ishii's eq. 16")
    perceptual: float = Field(1.0, ge=0, description="weight of the perceptual distance")
    lpips: Path | None = Field(None, description="safetensors file of VGG16 and LPIPS; else tokenizer features")
    width: int = Field(32, ge=1, description="channels of the discriminator's first layer")
    halvings: int = Field(2, ge=1, description="of the discriminator; two judge patches of 34 pixels, three of 70")
    pace: float = Field(4.0, gt=0, description="learning rate of the discriminator, as a multiple of the tokenizer's")
    begin: int = Field(0, ge=0, description="step from which the judgement counts")


class GanPair(nn.Module):
    """Tokenizer and discriminator in one module, so that they share a checkpoint."""

    def __init__(self, tokenizer: OwnTokenizer, config: Adversarial) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.discriminator = Discriminator(config.width, config.halvings)
        self._pace = config.pace

    @property
    def parts(self) -> tuple[tuple[nn.Module, float], ...]:
        """The networks to train, with their learning rates as multiples of the schedule's."""
        return (self.tokenizer, 1.0), (self.discriminator, self._pace)


def discriminator_losses(
    pair: GanPair, slices: Tensor, decoded: Tensor, reconstruction: Tensor, config: Adversarial, step: int
) -> dict[str, Tensor]:
    """Compute the adversarial terms: "adversarial" is to be added to the loss, the others are drawn as curves.

    Args:
        pair: tokenizer and discriminator in training.
        slices, decoded: Y and X, (B, 1, H, W) in SD, X with its graph.
        reconstruction: sum of error and perceptual distance, a scalar with its graph.
        config: settings of the adversarial training.
        step: number of the training step.
    """
    critic = pair.discriminator
    discriminator_loss, decoder_loss = LOSSES[config.loss]
    of_discriminator = discriminator_loss(critic(slices), critic(decoded.detach()))
    # The gradient of the decoder's loss must not reach the discriminator, which has the opposite aim.
    critic.requires_grad_(False)
    of_decoder = decoder_loss(critic(decoded))
    critic.requires_grad_(True)
    scale = adaptive(reconstruction, of_decoder, pair.tokenizer.decoder.out.weight, config.delta)
    weight = config.weight if step >= config.begin else 0.0
    adversarial = weight * scale * of_decoder + of_discriminator
    return {"adversarial": adversarial, "λ": weight * scale, "discriminator": of_discriminator}


def adaptive(reconstruction: Tensor, of_decoder: Tensor, last: Tensor, delta: float) -> Tensor:
    """Compute λ = ‖∇ reconstruction‖ / (‖∇ G‖ + δ), with gradients at the last layer's weights; without a graph."""
    (of_error,) = torch.autograd.grad(reconstruction, last, retain_graph=True)
    (of_judgement,) = torch.autograd.grad(of_decoder, last, retain_graph=True)
    return (of_error.norm() / (of_judgement.norm() + delta)).clamp(0, LARGEST).detach()
