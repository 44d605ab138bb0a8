"""Train a tokenizer: reconstruction error, losses of the codebook, and for a VQ-GAN adversarial losses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_vqad.errors import InputError
from napari_vqad.nets.vq.codebook import Codebook, perplexity
from napari_vqad.nets.vq.registry import OwnTokenizer, OwnTokenizerConfig, make_own
from napari_vqad.nets.vq.vqvae import Tokenizer
from napari_vqad.train.adversarial import Adversarial, GanPair, discriminator_losses
from napari_vqad.train.augment import add_noise, augment, soften
from napari_vqad.train.corruption import corrupt
from napari_vqad.train.cuda_graph import capture
from napari_vqad.train.data import Stack
from napari_vqad.train.fit import LIKE_HELD_OUT, Losses, Schedule, fit
from napari_vqad.train.perceptual import LPIPS, EncoderFeatures, Perceptual
from napari_vqad.train.same_recipe import Options

Error = Literal["L1", "L2"]


class TokenizerTraining(BaseModel):
    """How a tokenizer is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule = Schedule()
    volumes: int = Field(0, ge=0, description="number of volumes that the slices of a batch come from; 0: from all")
    commitment: float = Field(0.25, ge=0, description="β, weight of the commitment loss")
    codebook: Literal["moving averages", "gradient"] = Field(
        "moving averages", description="how the codebook is learnt"
    )
    codebook_start: Literal["latents", "uniform"] = Field(
        "uniform",
        description="where a codebook that is learnt by gradient begins: at latents of the first batch, or drawn "
        "from (−1/K, 1/K) as in the authors' code",
    )
    error: Error = Field("L1", description="of the reconstruction: absolute, or squared as in Ishii 2023")
    outside: float = Field(0.1, ge=0, description="weight of a pixel outside the mask; inside it is 1")
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")
    adversarial: Adversarial | None = Field(None, description="adversarial training, which makes it a VQ-GAN")
    corrupt: float = Field(0.75, ge=0, le=1, description="share of slices with corrupted patches; 0 for a plain VQ-VAE")


def train_tokenizer(
    config: OwnTokenizerConfig,
    training: TokenizerTraining,
    train: Stack,
    held_out: Stack,
    background: float,
    folder: Path,
    device: torch.device,
    start: OwnTokenizer | None = None,
    judge: OwnTokenizer | None = None,
    recipe: Options | None = None,
) -> OwnTokenizer:
    """Train a tokenizer and return it in eval mode, with the weights that the schedule asks for.

    The held-out loss is the recipe's error within the mask, for a VQ-GAN plus the perceptual distance.

    Args:
        start: a trained network of the same sizes to start with.
        judge: a trained network whose features measure perceptual distance; by default `start`.
        recipe: see `fit`.

    Raises:
        InputError: there is nothing to measure the perceptual distance of a VQ-GAN with.
    """
    torch.manual_seed(training.schedule.seed)
    tokenizer = make_own(config).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if training.codebook == "gradient":
        for part in tokenizer.modules():
            if isinstance(part, Codebook):
                part.learn_by_gradient(training.codebook_start == "latents")
    if start is not None:
        tokenizer.load_state_dict(start.state_dict())
    gan, looks = training.adversarial, _perceptual(training, judge or start, train.clip, device)
    model = GanPair(tokenizer, gan).to(device) if gan else tokenizer
    fixed = training.codebook == "gradient" and training.codebook_start == "uniform"
    if fixed and not gan:  # moving averages read back which codes are dead, and a start at latents needs a real batch
        n = training.schedule.batch
        capture(tokenizer, torch.zeros(n, 1, *train.levels.shape[1:], device=device), torch.zeros(n, device=device))
    beta, outside = training.commitment, training.outside

    def losses(rng: torch.Generator, step: int) -> Losses:
        index = draw(train, training.schedule.batch, training.volumes, rng)
        clean, mask, position = batch(train, index, device)
        clean, mask = augment(clean, mask, background, rng, training.sway)
        noisy = add_noise(soften(clean, mask, background, rng), mask, rng)
        if training.corrupt:
            noisy = corrupt(noisy, mask, rng, training.corrupt)
        decoded, codes, latent = tokenizer(noisy.contiguous(memory_format=torch.channels_last), position)
        weight = mask + outside * (1 - mask)
        difference = (decoded.float() - clean).abs()
        l1 = (weight * difference).sum() / weight.sum()
        error = l1 if training.error == "L1" else (weight * difference**2).sum() / weight.sum()
        used = perplexity(codes, config.n_codes)
        found = {
            "loss": error + latent.codebook + beta * latent.commitment,
            LIKE_HELD_OUT: error.detach(),
            "L1 (SD)": l1,
            "commitment": latent.commitment,
            "codebook perplexity": used,
        }
        if looks:
            found["perceptual"] = looks(clean, decoded.float(), position)
            found["loss"] = found["loss"] + looks.weight * found["perceptual"]
            found[LIKE_HELD_OUT] = found[LIKE_HELD_OUT] + looks.weight * found["perceptual"].detach()
        if gan:
            assert isinstance(model, GanPair)
            close = error + (looks.weight * found["perceptual"] if looks else 0)
            found |= discriminator_losses(model, clean, decoded, close, gan, step)
            found["loss"] = found["loss"] + found.pop("adversarial")
        return found

    def score() -> float:
        return reconstruction_error(tokenizer, held_out, device, training.error, every=4, looks=looks)

    fit(model, losses, score, folder, training.schedule, device, recipe=recipe)
    return tokenizer


def describe(training: TokenizerTraining) -> str:
    """Describe the loss, for the model card."""
    learnt = ", the codebook by gradient" if training.codebook == "gradient" else ""
    restores = f"{learnt}, {training.corrupt:.0%} of slices with spoilt patches" if training.corrupt else learnt
    gan = training.adversarial
    if gan is None:
        return f"{training.error}{restores}"
    looks = f" and {(LPIPS if gan.lpips else EncoderFeatures).name}" if gan.perceptual else ""
    judge = f"a patch discriminator ({gan.loss} loss, adaptive weight up to {gan.weight:g} of the rest)"
    return f"{training.error}{looks}{restores}, and {judge}"


def _perceptual(
    training: TokenizerTraining, judge: OwnTokenizer | None, clip: tuple[float, float], device: torch.device
) -> Perceptual | None:
    gan = training.adversarial
    if gan is None or not gan.perceptual:
        return None
    if gan.lpips is not None:
        return LPIPS(gan.lpips, clip, device, gan.perceptual)
    if judge is None:
        raise InputError(
            "A VQ-GAN needs something to measure perceptual distance with: a trained tokenizer (--features, or --start "
            "to begin with it), a file of LPIPS weights, or perceptual = 0 in the recipe."
        )
    return EncoderFeatures(copy.deepcopy(judge).to(device), gan.perceptual)


def draw(stack: Stack, batch: int, volumes: int, rng: torch.Generator) -> NDArray:
    """Draw the indices of a batch of slices at random: from all slices, or equally many from each of `volumes` volumes.

    Marimont & Tarroni 2020 draw 8 slices from each of 8 volumes.
    """

    def any_of(n: int, count: int) -> NDArray:
        return torch.randint(n, (count,), generator=rng, device=rng.device).cpu().numpy()

    if not volumes:
        return any_of(len(stack), batch)
    known = np.unique(stack.scan)
    chosen = torch.randperm(len(known), generator=rng, device=rng.device)[:volumes].cpu().numpy()
    places = [np.flatnonzero(stack.scan == number) for number in known[chosen]]
    each = np.diff(np.linspace(0, batch, len(places) + 1).astype(int))
    return np.concatenate([found[any_of(len(found), n)] for found, n in zip(places, each, strict=True)])


def batch(stack: Stack, index, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Load slices and masks (B, 1, H, W) and positions (B,) to the device."""
    slices = torch.from_numpy(stack.slices(index))[:, None].to(device)
    mask = torch.from_numpy(stack.mask[index])[:, None].to(device, torch.float32)
    return slices, mask, torch.from_numpy(stack.position[index]).to(device)


@torch.no_grad()
def reconstruction_error(
    model: Tokenizer,
    stack: Stack,
    device: torch.device,
    error: Error = "L1",
    every: int = 1,
    looks: Perceptual | None = None,
) -> float:
    """Compute the mean of |Y − decode(encode(Y))|, or of its square, within the mask, in SD or SD².

    Only every `every`-th slice is used. The perceptual distance is added if `looks` is given.
    """
    total = count = distance = 0.0
    for start in range(0, len(stack), 64 * every):
        slices, mask, position = batch(stack, slice(start, start + 64 * every, every), device)
        decoded = model.decode(model.encode(slices, position), position)
        difference = (decoded - slices).abs()
        total += float((mask * (difference if error == "L1" else difference**2)).sum())
        count += float(mask.sum())
        if looks:
            distance += looks.weight * float(looks(slices, decoded, position)) * len(slices)
    return total / count + distance / len(range(0, len(stack), every))
