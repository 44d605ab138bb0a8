"""`napari-vqad train autoencoder`: train the network of an autoencoder or a VAE on healthy slices."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from napari_vqad.detectors.autoencoder import FILE, NetworkDetector
from napari_vqad.detectors.base import BundleConfig
from napari_vqad.detectors.pca import FILE as LINEAR
from napari_vqad.detectors.pca import PCA
from napari_vqad.detectors.registry import detector_class
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.jsonfile import short, validated
from napari_vqad.files.space import check_folder, folder_of
from napari_vqad.nets import autoencoder
from napari_vqad.nets.autoencoder import LatentNetwork
from napari_vqad.nets.device import pick_device
from napari_vqad.train.adversary import Adversary, JudgedAutoencoder
from napari_vqad.train.augment import add_noise, augment, soften
from napari_vqad.train.data import Stack, load_stack
from napari_vqad.train.detector import template_of
from napari_vqad.train.fit import CHECKPOINT, LIKE_HELD_OUT, Losses, Schedule, alone_in, fit, state_of
from napari_vqad.train.recipe import read_toml
from napari_vqad.train.tokenizer import batch, draw
from napari_vqad.train.training_log import Trained, write_history

KINDS = ("autoencoder", "vae")
WORK = Path(".training") / "network"
OUTPUTS = (FILE, "config.json", "README.md")


class AutoencoderTraining(BaseModel):
    """What the network learns from and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule = Schedule()
    volumes: int = Field(0, ge=0, description="number of volumes that the slices of a batch come from; 0: from all")
    adversarial: Adversary | None = Field(None, description="the decoder is judged by a discriminator")
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command; the caller adds the options for data and device."""
    parser = kinds.add_parser("autoencoder", help="train an autoencoder or a VAE; resumes")
    parser.add_argument("--config", required=True, help="recipe: a TOML file, or the name of one that comes along")
    parser.add_argument("--out", required=True, help="folder of the bundle")
    parser.add_argument("--start", metavar="BUNDLE", help="take the template from this one")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the recipe")
    parser.set_defaults(func=run)
    return parser


def read_recipe(
    name: str | Path, changes: Sequence[str] = ()
) -> tuple[BundleConfig, AutoencoderTraining, type[NetworkDetector]]:
    """Read a recipe: the bundle's config, the training, and the class of the detector.

    Raises:
        InputError: there is no such recipe, it does not fit, or its detector is trained in another way.
    """
    given, path = read_toml(name, changes)
    kind = given.get("detector")
    if kind not in KINDS:
        raise InputError(f"{path} does not say detector = one of {', '.join(KINDS)}, but '{short(str(kind))}'.")
    training = validated(AutoencoderTraining, given.pop("training", {}), path)
    cls: Any = detector_class(kind)
    return validated(cls.Config, given, path), training, cls


def run(args: argparse.Namespace) -> int:
    """Train the network of a recipe and write its bundle; `calibrate` completes it."""
    torch.set_num_threads(args.threads)
    (config, training, detector), out = read_recipe(args.config, args.set), folder_of(args.out)
    device, work = pick_device(args.device), out / WORK
    with alone_in(out, OUTPUTS):
        check_folder(work, [CHECKPOINT])
        template = template_of(args, config, out)
        stacks = (load_stack(args.data, split, config.grid, template).of_brain() for split in ("train", "validation"))
        train, held_out = stacks
        network = detector.make(config).to(device)
        train_network(network, training, train, held_out, config.grid.background, work, device)
        with atomic_folder(out) as new:
            (new / "config.json").write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
            detector(network).save(new)
            if template is not None:
                template.save(new)
                PCA.fit(train.slices()).save(new, LINEAR)
            write_history(new, {"network": _trained(args, network, training, out, state_of(work)["step"])})
    print(f"wrote {out}; loss curves in {work / 'curves.png'}; run 'napari-vqad calibrate {out}' next")
    return 0


def _trained(
    args: argparse.Namespace, network: LatentNetwork, training: AutoencoderTraining, out: Path, steps: int
) -> Trained:
    """The record of the training, for the card."""
    start = f" --start {Path(args.start).name}" if args.start else ""
    start += "".join(f" --set {change}" for change in args.set)
    what = f"--config {Path(args.config).stem} --data DATA --out models/{out.name}{start}"
    loss = f"L1 and the KL divergence with weight {network.kl_weight:g}" if network.variational else "L1"
    if (judge := training.adversarial) is not None:
        loss += f", and −log of a patch discriminator with weight {judge.weight:g}, itself trained at {judge.lr:g}"
    command = f"napari-vqad train autoencoder {what}"
    return Trained(command=command, schedule=training.schedule, steps=steps, loss=loss)


def train_network(
    network: LatentNetwork,
    training: AutoencoderTraining,
    train: Stack,
    held_out: Stack,
    background: float,
    folder: Path,
    device: torch.device,
) -> None:
    """Train in place and leave the network in eval mode with the weights that the schedule asks for.

    The held-out loss is the loss of `nets.autoencoder` at the mean of the latents.
    """
    torch.manual_seed(training.schedule.seed)
    judged = JudgedAutoencoder(network, training.adversarial).to(device) if training.adversarial else None

    def losses(rng: torch.Generator, _step: int) -> Losses:
        index = draw(train, training.schedule.batch, training.volumes, rng)
        clean, mask, position = batch(train, index, device)
        clean, mask = augment(clean, mask, background, rng, training.sway)
        shown = add_noise(soften(clean, mask, background, rng), mask, rng)
        latent = network.encode(shown, position)
        noise = torch.randn(latent.mean.shape, generator=rng, device=device)
        decoded = network.decode(latent.sample(noise), position)
        loss = autoencoder.loss(network, clean, decoded, latent).mean()
        apart = (decoded.float() - clean).abs().mean()
        found = {"loss": loss, LIKE_HELD_OUT: loss.detach(), "L1 (SD)": apart, "KL (nats)": latent.kl().mean()}
        return found | judged.losses(clean, decoded, latent) if judged else found

    def score() -> float:
        found = []
        for start in range(0, len(held_out), 64):
            slices, _, position = batch(held_out, slice(start, start + 64), device)
            latent = network.encode(slices, position)
            found.append(autoencoder.loss(network, slices, network.decode(latent.mean, position), latent))
        return float(torch.cat(found).mean())

    turn = judged.turn if judged else None
    fit(judged or network, losses, score, folder, training.schedule, device, turn)
