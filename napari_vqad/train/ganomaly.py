"""`napari-vqad train ganomaly`: train the generator of GANomaly against a discriminator (Akcay et al. 2018).

    generator       w_con · mean |x − x̂|  +  w_enc · mean (z − ẑ)²  +  w_adv · mean (f(x) − f(x̂))²
    discriminator   ½ (−mean log σ(D(x)) − mean log(1 − σ(D(x̂))))

In the paper the two are updated in turn, the discriminator with the x̂ from before the generator's step. Its gradient is
therefore the same as before that step, and here both are updated at once, each with its own moments and clipping.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from napari_vqad.detectors.ganomaly import GanomalyConfig, GanomalyDetector
from napari_vqad.nets.ganomaly import (
    FeatureDiscriminator,
    Generator,
    discriminator_loss,
    feature_loss,
    latent_loss,
    reconstruction_loss,
)
from napari_vqad.train.augment import augment
from napari_vqad.train.fit import LIKE_HELD_OUT, Losses, Schedule, fit
from napari_vqad.train.network_command import NetworkCommand, NetworkTraining, TrainingRun
from napari_vqad.train.tokenizer import batch, draw

PAPERS_SCHEDULE = Schedule(lr=2e-4, beta1=0.5, beta2=0.999, clip=0.0, decay=False, warm_up=1)


class GanomalyTraining(NetworkTraining):
    """How the networks are trained; the defaults are those of the paper."""

    schedule: Schedule = PAPERS_SCHEDULE
    w_con: float = Field(50.0, ge=0, description="weight of the L1 distance of slices")
    w_enc: float = Field(1.0, ge=0, description="weight of the squared distance of latents")
    w_adv: float = Field(1.0, ge=0, description="weight of the squared distance of the discriminator's features")
    volumes: int = Field(0, ge=0, description="number of volumes that the slices of a batch come from; 0: from all")
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")

    @model_validator(mode="before")
    @classmethod
    def _complete_schedule(cls, given: Any) -> Any:
        """Take values that a recipe's schedule does not name from the paper's."""
        if not isinstance(given, dict) or not isinstance(given.get("schedule"), dict):
            return given
        return given | {"schedule": PAPERS_SCHEDULE.model_dump() | given["schedule"]}


class GeneratorAndDiscriminator(nn.Module):
    """Generator and discriminator in one module, so that they share a checkpoint."""

    def __init__(self, config: GanomalyConfig, training: GanomalyTraining) -> None:
        super().__init__()
        self.generator: Generator = GanomalyDetector.make(config)
        self.discriminator = FeatureDiscriminator(config.network, config.grid.shape)
        self.training_of = training

    @property
    def parts(self) -> tuple[tuple[nn.Module, float], ...]:
        """The networks, each with its learning rate as a multiple of the schedule's."""
        return (self.generator, 1.0), (self.discriminator, 1.0)

    def losses(self, slices: Tensor) -> Losses:
        """Compute the losses for slices (B, 1, H, W) in SD; the gradient of each term reaches one network only."""
        critic, weights = self.discriminator, self.training_of
        x = self.generator.scaled(slices)
        passed = self.generator(x)
        critic.requires_grad_(False)
        con, enc = reconstruction_loss(x, passed), latent_loss(passed)
        adv = feature_loss(critic(x)[1], critic(passed.decoded)[1])
        critic.requires_grad_(True)
        of_discriminator = discriminator_loss(critic(x)[0], critic(passed.decoded.detach())[0])
        as_held_out = weights.w_con * con + weights.w_enc * enc
        return {
            "loss": as_held_out + weights.w_adv * adv + of_discriminator,
            LIKE_HELD_OUT: as_held_out.detach(),
            "L1 of slices": con,
            "L2 of latents": enc,
            "L2 of features": adv,
            "discriminator": of_discriminator,
        }


def train_networks(run: TrainingRun[GanomalyTraining]) -> GanomalyDetector:
    """Train the networks and return the generator's detector, in eval mode with the weights that the schedule asks for.

    The held-out loss is w_con · L_con + w_enc · L_enc.
    """
    config, training, held_out, device = run.config, run.training, run.held_out, run.device
    torch.manual_seed(training.schedule.seed)
    networks = GeneratorAndDiscriminator(config, training).to(device)
    generator, background = networks.generator, config.grid.background

    def losses(rng: torch.Generator, _step: int) -> Losses:
        index = draw(run.train, training.schedule.batch, training.volumes, rng)
        slices, mask, _ = batch(run.train, index, device)
        return networks.losses(augment(slices, mask, background, rng, training.sway)[0])

    def score() -> float:
        total = 0.0
        for start in range(0, len(held_out), 64):
            x = generator.scaled(batch(held_out, slice(start, start + 64), device)[0])
            passed = generator(x)
            found = training.w_con * reconstruction_loss(x, passed) + training.w_enc * latent_loss(passed)
            total += float(found) * len(x)
        return total / len(held_out)

    fit(networks, losses, score, run.folder, training.schedule, device, recipe=run.recipe)
    return GanomalyDetector(generator)


def describe(config: GanomalyConfig, training: GanomalyTraining) -> tuple[str, str]:
    """Describe the losses and the held-out loss, for the model card."""
    weights = f"{training.w_con:g}, {training.w_enc:g} and {training.w_adv:g}"
    return (
        f"L1 of slices, L2 of latents and L2 of the discriminator's features with weights {weights}",
        "The discriminator descends binary cross-entropy. It is not part of the bundle. The held-out loss is that "
        "of the generator without the discriminator's features.",
    )


COMMAND = NetworkCommand(
    name="ganomaly",
    help="train the networks of GANomaly; resumes",
    kinds=(GanomalyDetector.kind,),
    training=GanomalyTraining,
    train=train_networks,
    describe=describe,
)
