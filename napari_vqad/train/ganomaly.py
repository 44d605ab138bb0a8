"""`napari-vqad train ganomaly`: train the generator of GANomaly against a discriminator (Akcay et al. 2018).

    generator       w_con · mean |x − x̂|  +  w_enc · mean (z − ẑ)²  +  w_adv · mean (f(x) − f(x̂))²
    discriminator   ½ (−mean log σ(D(x)) − mean log(1 − σ(D(x̂))))

The two descend in turn in the paper, the discriminator on the x̂ of before the generator's step. Its gradient is then
the one that it has beforehand, so both take their steps at once here, each with moments and clipping of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from napari_vqad.detectors.ganomaly import GanomalyConfig, GanomalyDetector
from napari_vqad.detectors.pca import FILE as LINEAR
from napari_vqad.detectors.pca import PCA
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.jsonfile import short, validated
from napari_vqad.files.space import check_folder, folder_of
from napari_vqad.nets.device import pick_device
from napari_vqad.nets.ganomaly import (
    FeatureDiscriminator,
    Generator,
    discriminator_loss,
    feature_loss,
    latent_loss,
    reconstruction_loss,
)
from napari_vqad.train.augment import augment
from napari_vqad.train.data import Stack, load_stack
from napari_vqad.train.detector import template_of
from napari_vqad.train.fit import CHECKPOINT, LIKE_HELD_OUT, Losses, Schedule, alone_in, fit, state_of
from napari_vqad.train.recipe import read_toml
from napari_vqad.train.tokenizer import batch, draw
from napari_vqad.train.training_log import Trained, write_history

WORK = Path(".training") / "network"
OUTPUTS = (*GanomalyDetector.files, "config.json", "README.md")


class GanomalyTraining(BaseModel):
    """What the networks learn from and how; the defaults are those of the paper."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule = Schedule(lr=2e-4, beta1=0.5, beta2=0.999, clip=0.0, decay=False, warm_up=1)
    w_con: float = Field(50.0, ge=0, description="weight of the L1 distance of slices")
    w_enc: float = Field(1.0, ge=0, description="weight of the squared distance of latents")
    w_adv: float = Field(1.0, ge=0, description="weight of the squared distance of the discriminator's features")
    volumes: int = Field(0, ge=0, description="number of volumes that the slices of a batch come from; 0: from all")
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")


class GeneratorAndDiscriminator(nn.Module):
    """Both networks, trained as one; each descends by itself."""

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
        """The losses of slices (B, 1, H, W) in SD; each term of "loss" reaches one of the two networks alone."""
        critic, weights = self.discriminator, self.training_of
        x = self.generator.scaled(slices)
        passed = self.generator(x)
        critic.requires_grad_(False)
        con, enc = reconstruction_loss(x, passed), latent_loss(passed)
        adv = feature_loss(critic(x)[1], critic(passed.decoded)[1])
        critic.requires_grad_(True)
        learn = discriminator_loss(critic(x)[0], critic(passed.decoded.detach())[0])
        as_held_out = weights.w_con * con + weights.w_enc * enc
        return {
            "loss": as_held_out + weights.w_adv * adv + learn,
            LIKE_HELD_OUT: as_held_out.detach(),
            "L1 of slices": con,
            "L2 of latents": enc,
            "L2 of features": adv,
            "discriminator": learn,
        }


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command; the caller adds the options for data and device."""
    parser = kinds.add_parser("ganomaly", help="train the networks of GANomaly; resumes")
    parser.add_argument("--config", required=True, help="recipe: a TOML file, or the name of one that comes along")
    parser.add_argument("--out", required=True, help="folder of the bundle")
    parser.add_argument("--start", metavar="BUNDLE", help="take the template from this one")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the recipe")
    parser.set_defaults(func=run)
    return parser


def read_recipe(name: str | Path, changes: Sequence[str] = ()) -> tuple[GanomalyConfig, GanomalyTraining]:
    """Read a recipe: the bundle's config and the training.

    Raises:
        InputError: there is no such recipe, it does not fit, or its detector is trained in another way.
    """
    given, path = read_toml(name, changes)
    if (kind := given.get("detector")) != GanomalyDetector.kind:
        raise InputError(f"{path} does not say detector = {GanomalyDetector.kind}, but '{short(str(kind))}'.")
    training = given.pop("training", {})
    if isinstance(training, dict) and isinstance(training.get("schedule"), dict):  # the paper's Adam is the default
        training["schedule"] = GanomalyTraining().schedule.model_dump() | training["schedule"]
    return validated(GanomalyConfig, given, path), validated(GanomalyTraining, training, path)


def run(args: argparse.Namespace) -> int:
    """Train the networks of a recipe and write the generator's bundle; `calibrate` completes it."""
    torch.set_num_threads(args.threads)
    (config, training), out = read_recipe(args.config, args.set), folder_of(args.out)
    device, work = pick_device(args.device), out / WORK
    with alone_in(out, OUTPUTS):
        check_folder(work, [CHECKPOINT])
        template = template_of(args, config, out)
        train, held_out = (load_stack(args.data, s, config.grid, template).of_brain() for s in ("train", "validation"))
        generator = train_networks(config, training, train, held_out, work, device)
        with atomic_folder(out) as new:
            (new / "config.json").write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
            GanomalyDetector(generator).save(new)
            if template is not None:
                template.save(new)
                PCA.fit(train.slices()).save(new, LINEAR)
            write_history(new, {"network": _trained(args, training, out, state_of(work)["step"])})
    print(f"wrote {out}; loss curves in {work / 'curves.png'}; run 'napari-vqad calibrate {out}' next")
    return 0


def _trained(args: argparse.Namespace, training: GanomalyTraining, out: Path, steps: int) -> Trained:
    """The record of the training, for the card."""
    given = f" --start {Path(args.start).name}" if args.start else ""
    given += "".join(f" --set {change}" for change in args.set)
    given = f"--config {Path(args.config).stem} --data DATA --out models/{out.name}{given}"
    weights = f"{training.w_con:g}, {training.w_enc:g} and {training.w_adv:g}"
    return Trained(
        command=f"napari-vqad train ganomaly {given}",
        schedule=training.schedule,
        steps=steps,
        loss=f"L1 of slices, L2 of latents and L2 of the discriminator's features with weights {weights}",
        note="The discriminator descends binary cross-entropy. It is not part of the bundle. The held-out loss is that "
        "of the generator without the discriminator's features.",
    )


def train_networks(
    config: GanomalyConfig,
    training: GanomalyTraining,
    train: Stack,
    held_out: Stack,
    folder: Path,
    device: torch.device,
) -> Generator:
    """Train and return the generator in eval mode with the weights that the schedule asks for.

    The held-out loss is w_con · L_con + w_enc · L_enc.
    """
    torch.manual_seed(training.schedule.seed)
    networks = GeneratorAndDiscriminator(config, training).to(device)
    generator, background = networks.generator, config.grid.background

    def losses(rng: torch.Generator, _step: int) -> Losses:
        index = draw(train, training.schedule.batch, training.volumes, rng)
        slices, mask, _ = batch(train, index, device)
        return networks.losses(augment(slices, mask, background, rng, training.sway)[0])

    def score() -> float:
        total = 0.0
        for start in range(0, len(held_out), 64):
            x = generator.scaled(batch(held_out, slice(start, start + 64), device)[0])
            passed = generator(x)
            found = training.w_con * reconstruction_loss(x, passed) + training.w_enc * latent_loss(passed)
            total += float(found) * len(x)
        return total / len(held_out)

    fit(networks, losses, score, folder, training.schedule, device)
    return generator
