"""`napari-vqad train autoencoder`: train the network of an autoencoder or a VAE on healthy slices."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field

from napari_vqad.detectors.autoencoder import AutoencoderDetector, NetworkDetector
from napari_vqad.detectors.vae import VAEDetector
from napari_vqad.nets import autoencoder
from napari_vqad.nets.autoencoder import LatentNetwork
from napari_vqad.train.adversary import Adversary, JudgedAutoencoder
from napari_vqad.train.augment import add_noise, augment, soften
from napari_vqad.train.fit import LIKE_HELD_OUT, Losses, Schedule, fit
from napari_vqad.train.network_command import NetworkCommand, NetworkTraining, TrainingRun
from napari_vqad.train.tokenizer import batch, draw

DETECTORS: dict[str, type[NetworkDetector]] = {cls.kind: cls for cls in (AutoencoderDetector, VAEDetector)}


class AutoencoderTraining(NetworkTraining):
    """How the network is trained."""

    schedule: Schedule = Schedule()
    volumes: int = Field(0, ge=0, description="number of volumes that the slices of a batch come from; 0: from all")
    adversarial: Adversary | None = Field(None, description="a discriminator judges the decoded slices")
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")


def train_detector(run: TrainingRun[AutoencoderTraining]) -> NetworkDetector:
    """Train a new network and return its detector."""
    detector = DETECTORS[run.config.detector]
    network = detector.make(run.config).to(run.device)
    train_network(network, run)
    return detector(network)


def train_network(network: LatentNetwork, run: TrainingRun[AutoencoderTraining]) -> None:
    """Train in place and leave the network in eval mode with the weights that the schedule asks for.

    The held-out loss is the loss of `nets.autoencoder` at the mean of the latents.
    """
    training, held_out, device, background = run.training, run.held_out, run.device, run.config.grid.background
    torch.manual_seed(training.schedule.seed)
    judged = JudgedAutoencoder(network, training.adversarial).to(device) if training.adversarial else None

    def losses(rng: torch.Generator, _step: int) -> Losses:
        index = draw(run.train, training.schedule.batch, training.volumes, rng)
        clean, mask, position = batch(run.train, index, device)
        clean, mask = augment(clean, mask, background, rng, training.sway)
        noisy = add_noise(soften(clean, mask, background, rng), mask, rng)
        latent = network.encode(noisy, position)
        noise = torch.randn(latent.mean.shape, generator=rng, device=device)
        decoded = network.decode(latent.sample(noise), position)
        loss = autoencoder.loss(network, clean, decoded, latent).mean()
        l1 = (decoded.float() - clean).abs().mean()
        found = {"loss": loss, LIKE_HELD_OUT: loss.detach(), "L1 (SD)": l1, "KL (nats)": latent.kl().mean()}
        return found | judged.losses(clean, decoded, latent) if judged else found

    def score() -> float:
        found = []
        for start in range(0, len(held_out), 64):
            slices, _, position = batch(held_out, slice(start, start + 64), device)
            latent = network.encode(slices, position)
            found.append(autoencoder.loss(network, slices, network.decode(latent.mean, position), latent))
        return float(torch.cat(found).mean())

    turn = judged.turn if judged else None
    fit(judged or network, losses, score, run.folder, training.schedule, device, turn, recipe=run.recipe)


def describe(config: Any, training: AutoencoderTraining) -> tuple[str, str]:
    """Describe the loss, for the model card."""
    kl = f" and the KL divergence with weight {config.network.kl:g}" if DETECTORS[config.detector].variational else ""
    loss = f"L1{kl}"
    if (judge := training.adversarial) is not None:
        loss += f", and −log of a patch discriminator with weight {judge.weight:g}, itself trained at {judge.lr:g}"
    return loss, ""


COMMAND = NetworkCommand(
    name="autoencoder",
    help="train an autoencoder or a VAE; resumes",
    kinds=tuple(DETECTORS),
    training=AutoencoderTraining,
    train=train_detector,
    describe=describe,
)
