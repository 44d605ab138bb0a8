"""`napari-vqad train gan`: train generator and discriminator of AnoGAN on healthy slices (Schlegl et al. 2017).

    discriminator   −log σ(D(Y)) − log(1 − σ(D(G(z)))) + γ/2 · ‖∇_Y D(Y)‖²          generator   −log σ(D(G(z)))

The generator has the non-saturating loss (Goodfellow et al. 2014). γ weights the gradient penalty R1, without which
long trainings become unstable (Mescheder et al. 2018). The bundle contains a moving average of the generator's weights
(Karras et al. 2018). Both networks are updated in the same step, each with its own learning rate, moments and clipping.
"""

from __future__ import annotations

import copy

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.detectors.anogan import AnoGANConfig, AnoGANDetector
from napari_vqad.nets.discriminator import log_loss
from napari_vqad.nets.gan import GanSizes, Generator, SliceDiscriminator
from napari_vqad.nets.latent_search import LatentSearch, SearchState
from napari_vqad.train.augment import augment
from napari_vqad.train.fit import Losses, Schedule, fit
from napari_vqad.train.network_command import NetworkCommand, NetworkTraining, TrainingRun
from napari_vqad.train.tokenizer import batch, draw

HELD_OUT, STEPS, RATE = 32, 50, 0.1  # slices, steps and step size of the search that measures the held-out loss


class GanTraining(NetworkTraining):
    """How the networks are trained."""

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
        """The networks to train, with their learning rates as multiples of the schedule's."""
        return (self.generator, 1.0), (self.discriminator, self._training.pace)

    @torch.no_grad()
    def update_average(self, step: int) -> None:
        """Update the averages θ̄ ← d·θ̄ + (1 − d)·θ of weights and statistics; d is smaller in the first steps."""
        decay = min(self._training.average, (1 + step) / (10 + step)) if self._training.average else 0.0
        now = self.generator.state_dict()
        for name, mean in self.averaged.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(now[name], 1 - decay)
            else:
                mean.copy_(now[name])

    def losses(self, slices: Tensor, position: Tensor, z: Tensor) -> Losses:
        """Compute the losses for slices (B, 1, H, W) in SD at positions (B,), and for latents (B, latent)."""
        critic, gamma = self.discriminator, self._training.penalty
        generated = self.generator(z, position)
        of_discriminator = log_loss(critic(slices, position), critic(generated.detach(), position))
        # The gradient of the generator's loss must not reach the discriminator, which has the opposite aim.
        critic.requires_grad_(False)
        of_generator = F.softplus(-critic(generated, position)).mean()
        critic.requires_grad_(True)
        losses = {
            "loss": of_discriminator + of_generator,
            "generator": of_generator,
            "discriminator": of_discriminator,
        }
        if gamma:
            losses["R1"] = gradient_penalty(critic, slices, position)
            losses["loss"] = losses["loss"] + 0.5 * gamma * losses["R1"]
        return losses


def gradient_penalty(critic: SliceDiscriminator, slices: Tensor, position: Tensor) -> Tensor:
    """Compute R1, ‖∇_Y D(Y)‖² averaged over real slices (B, 1, H, W) (Mescheder et al. 2018), in float32."""
    with torch.autocast(slices.device.type, enabled=False):
        real = slices.float().detach().requires_grad_()
        (gradient,) = torch.autograd.grad(critic(real, position).sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def train_gan(run: TrainingRun[GanTraining]) -> AnoGANDetector:
    """Train the networks and return their detector, in eval mode with the weights that the schedule asks for.

    The held-out loss is mean |Y − G(z)| in SD after a short latent search with the averaged generator.
    """
    config, training, held_out, device = run.config, run.training, run.held_out, run.device
    torch.manual_seed(training.schedule.seed)
    gan = Gan(config.network, config.grid.shape, training).to(device)
    looked_at = torch.linspace(0, len(held_out) - 1, min(HELD_OUT, len(held_out))).round().long().numpy()
    shown, _, places = batch(held_out, looked_at, device)
    noise = torch.Generator().manual_seed(0)
    begin = SearchState.start(torch.randn(len(shown), gan.latent, generator=noise).to(device))

    def losses(rng: torch.Generator, step: int) -> Losses:
        gan.update_average(step)
        index = draw(run.train, training.schedule.batch, 0, rng)
        slices, mask, position = batch(run.train, index, device)
        slices, _ = augment(slices, mask, config.grid.background, rng, training.sway)
        z = torch.randn(len(slices), gan.latent, generator=rng, device=device)
        return gan.losses(slices, position, z)

    def score() -> float:
        search = LatentSearch(gan.averaged, gan.discriminator, shown, places, 0.0)
        with torch.no_grad():
            return float(search.loss(search.run(begin, STEPS, RATE, lambda: None).z)[0].mean())

    fit(gan, losses, score, run.folder, training.schedule, device, recipe=run.recipe)
    return AnoGANDetector(gan.averaged, gan.discriminator, config.network)


def describe(config: AnoGANConfig, training: GanTraining) -> tuple[str, str]:
    """Describe the losses and the held-out loss, for the model card."""
    loss = "adversarial losses of generator (non-saturating) and discriminator"
    loss += f", gradient penalty R1 with weight {training.penalty:g}" if training.penalty else ""
    loss += f", moving average of the generator with decay {training.average:g}" if training.average else ""
    return loss, f"The held-out loss is the L1 distance that a latent search of {STEPS} steps leaves."


COMMAND = NetworkCommand(
    name="gan",
    help="train generator and discriminator of AnoGAN; resumes",
    kinds=(AnoGANDetector.kind,),
    training=GanTraining,
    train=train_gan,
    describe=describe,
    checkpoints="gan",
)
