"""`napari-vqad train gan`: train generator and discriminator of AnoGAN on healthy slices (Schlegl et al. 2017).

    discriminator   −log σ(D(Y)) − log(1 − σ(D(G(z)))) + γ/2 · ‖∇_Y D(Y)‖²          generator   −log σ(D(G(z)))

The generator's loss is the non-saturating one (Goodfellow et al. 2014). γ is the gradient penalty R1, without which
longer trainings become unstable (Mescheder et al. 2018); the bundle keeps a moving average of the generator's weights
(Karras et al. 2018). Both networks descend in the same step, each with its own learning rate, moments and clipping.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.detectors.anogan import AnoGANConfig, AnoGANDetector
from napari_vqad.detectors.pca import FILE as LINEAR
from napari_vqad.detectors.pca import PCA
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.jsonfile import short, validated
from napari_vqad.files.space import check_folder, folder_of
from napari_vqad.nets.device import pick_device
from napari_vqad.nets.discriminator import log_loss
from napari_vqad.nets.gan import GanSizes, Generator, SliceDiscriminator
from napari_vqad.nets.latent_search import LatentSearch, SearchState
from napari_vqad.train.augment import augment
from napari_vqad.train.data import Stack, load_stack
from napari_vqad.train.detector import template_of
from napari_vqad.train.fit import CHECKPOINT, Losses, Schedule, alone_in, fit, state_of
from napari_vqad.train.recipe import read_toml
from napari_vqad.train.tokenizer import batch, draw
from napari_vqad.train.training_log import Trained, write_history

WORK = Path(".training") / "gan"
OUTPUTS = (*AnoGANDetector.files, "config.json", "README.md")
HELD_OUT, STEPS, RATE = 32, 50, 0.1  # slices, steps and step size of the search that measures the held-out loss


class GanTraining(BaseModel):
    """What the networks learn from and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule = Schedule(beta1=0.5)
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")
    pace: float = Field(1.0, gt=0, description="learning rate of the discriminator, as a multiple of the generator's")
    penalty: float = Field(1.0, ge=0, description="γ, weight of the gradient penalty R1; 0 for none")
    average: float = Field(0.999, ge=0, lt=1, description="decay of the generator's moving average; 0 for none")


class Gan(nn.Module):
    """Generator, its moving average, and discriminator, trained as one network."""

    def __init__(self, sizes: GanSizes, shape: tuple[int, int], training: GanTraining) -> None:
        super().__init__()
        self.generator, self.discriminator = Generator(sizes, shape), SliceDiscriminator(sizes, shape)
        self.averaged = copy.deepcopy(self.generator).requires_grad_(False)
        self.latent, self._training = sizes.latent, training

    @property
    def parts(self) -> tuple[tuple[nn.Module, float], ...]:
        """The networks that descend, with their learning rates as multiples of the schedule's."""
        return (self.generator, 1.0), (self.discriminator, self._training.pace)

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        """θ̄ ← d·θ̄ + (1 − d)·θ, of weights and running statistics; d is small in the first steps."""
        decay = min(self._training.average, (1 + step) / (10 + step)) if self._training.average else 0.0
        now = self.generator.state_dict()
        for name, mean in self.averaged.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], 1 - decay)
            else:
                mean.copy_(now[name])

    def losses(self, slices: Tensor, position: Tensor, z: Tensor) -> Losses:
        """The losses of slices (B, 1, H, W) in SD at positions (B,), and of latents (B, latent)."""
        critic, gamma = self.discriminator, self._training.penalty
        generated = self.generator(z, position)
        learn = log_loss(critic(slices, position), critic(generated.detach(), position))
        # The generator's gradient must not reach the discriminator, which descends the other way.
        critic.requires_grad_(False)
        convince = F.softplus(-critic(generated, position)).mean()
        critic.requires_grad_(True)
        found = {"loss": learn + convince, "generator": convince, "discriminator": learn}
        if gamma:
            found["R1"] = gradient_penalty(critic, slices, position)
            found["loss"] = found["loss"] + 0.5 * gamma * found["R1"]
        return found


def gradient_penalty(critic: SliceDiscriminator, slices: Tensor, position: Tensor) -> Tensor:
    """‖∇_Y D(Y)‖² of real slices (B, 1, H, W), averaged over the slices: R1 of Mescheder et al. 2018, in float32."""
    with torch.autocast(slices.device.type, enabled=False):
        real = slices.float().detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(real, position).sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def add_command(kinds: argparse._SubParsersAction) -> argparse.ArgumentParser:
    """Add the command; the caller adds the options for data and device."""
    parser = kinds.add_parser("gan", help="train generator and discriminator of AnoGAN; resumes")
    parser.add_argument("--config", required=True, help="recipe: a TOML file, or the name of one that comes along")
    parser.add_argument("--out", required=True, help="folder of the bundle")
    parser.add_argument("--start", metavar="BUNDLE", help="take the template from this one")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a value of the recipe")
    parser.set_defaults(func=run)
    return parser


def read_recipe(name: str | Path, changes: Sequence[str] = ()) -> tuple[AnoGANConfig, GanTraining]:
    """Read a recipe: the bundle's config and the training.

    Raises:
        InputError: there is no such recipe, it does not fit, or its detector is trained in another way.
    """
    given, path = read_toml(name, changes)
    if (kind := given.get("detector")) != AnoGANDetector.kind:
        raise InputError(f"{path} does not say detector = {AnoGANDetector.kind}, but '{short(str(kind))}'.")
    training = validated(GanTraining, given.pop("training", {}), path)
    return validated(AnoGANConfig, given, path), training


def run(args: argparse.Namespace) -> int:
    """Train the networks of a recipe and write their bundle; `calibrate` completes it."""
    torch.set_num_threads(args.threads)
    (config, training), out = read_recipe(args.config, args.set), folder_of(args.out)
    device, work = pick_device(args.device), out / WORK
    with alone_in(out, OUTPUTS):
        check_folder(work, [CHECKPOINT])
        template = template_of(args, config, out)
        stacks = (load_stack(args.data, split, config.grid, template).of_brain() for split in ("train", "validation"))
        train, held_out = stacks
        gan = train_gan(config, training, train, held_out, work, device)
        with atomic_folder(out) as new:
            (new / "config.json").write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
            AnoGANDetector(gan.averaged, gan.discriminator, config.network).save(new)
            if template is not None:
                template.save(new)
                PCA.fit(train.slices()).save(new, LINEAR)
            write_history(new, {"network": _trained(args, training, out, state_of(work)["step"])})
    print(f"wrote {out}; loss curves in {work / 'curves.png'}; run 'napari-vqad calibrate {out}' next")
    return 0


def _trained(args: argparse.Namespace, training: GanTraining, out: Path, steps: int) -> Trained:
    """The record of the training, for the card."""
    start = f" --start {Path(args.start).name}" if args.start else ""
    start += "".join(f" --set {change}" for change in args.set)
    what = f"--config {Path(args.config).stem} --data DATA --out models/{out.name}{start}"
    loss = "adversarial losses of generator (non-saturating) and discriminator"
    loss += f", gradient penalty R1 with weight {training.penalty:g}" if training.penalty else ""
    loss += f", moving average of the generator with decay {training.average:g}" if training.average else ""
    note = f"The held-out loss is the L1 distance that a latent search of {STEPS} steps leaves."
    return Trained(
        command=f"napari-vqad train gan {what}", schedule=training.schedule, steps=steps, loss=loss, note=note
    )


def train_gan(
    config: AnoGANConfig, training: GanTraining, train: Stack, held_out: Stack, folder: Path, device: torch.device
) -> Gan:
    """Train and return the networks in eval mode with the weights that the schedule asks for.

    The held-out loss is mean |Y − G(z)| in SD after a short latent search with the averaged generator.
    """
    torch.manual_seed(training.schedule.seed)
    gan = Gan(config.network, config.grid.shape, training).to(device)
    looked_at = torch.linspace(0, len(held_out) - 1, min(HELD_OUT, len(held_out))).round().long().numpy()
    shown, _, places = batch(held_out, looked_at, device)
    noise = torch.Generator().manual_seed(0)
    begin = SearchState.start(torch.randn(len(shown), gan.latent, generator=noise).to(device))

    def losses(rng: torch.Generator, step: int) -> Losses:
        gan.update_average(step)
        index = draw(train, training.schedule.batch, 0, rng)
        slices, mask, position = batch(train, index, device)
        slices, _ = augment(slices, mask, config.grid.background, rng, training.sway)
        z = torch.randn(len(slices), gan.latent, generator=rng, device=device)
        return gan.losses(slices, position, z)

    def score() -> float:
        search = LatentSearch(gan.averaged, gan.discriminator, shown, places, 0.0)
        with torch.no_grad():
            return float(search.loss(search.run(begin, STEPS, RATE, lambda: None).z)[0].mean())

    fit(gan, losses, score, folder, training.schedule, device)
    return gan
