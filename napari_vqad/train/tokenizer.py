"""Train a tokenizer: L1 to the clean slice, plus the codebook's commitment; a VQ-GAN is judged besides."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from napari_vqad.errors import InputError
from napari_vqad.nets.vq.codebook import perplexity
from napari_vqad.nets.vq.registry import OwnTokenizer, OwnTokenizerConfig, make_own
from napari_vqad.nets.vq.vqvae import Tokenizer
from napari_vqad.train.adversarial import Adversarial, GanPair, discriminator_losses
from napari_vqad.train.augment import add_noise, augment, soften
from napari_vqad.train.corruption import corrupt
from napari_vqad.train.data import Stack
from napari_vqad.train.fit import Losses, Schedule, fit
from napari_vqad.train.perceptual import LPIPS, EncoderFeatures, Perceptual


class TokenizerTraining(BaseModel):
    """What a tokenizer learns from and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule = Schedule()
    commitment: float = Field(0.25, ge=0, description="β, weight of the commitment loss")
    error: Literal["L1", "L2"] = Field("L1", description="of the reconstruction: absolute, or squared as in Ishii 2023")
    outside: float = Field(0.1, ge=0, description="weight of a pixel outside the mask; inside it is 1")
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")
    adversarial: Adversarial | None = Field(None, description="judged by a discriminator: a VQ-GAN")
    corrupt: float = Field(0.75, ge=0, le=1, description="share of slices with spoilt patches; 0 for a plain VQ-VAE")


def train_tokenizer(
    config: OwnTokenizerConfig,
    training: TokenizerTraining,
    train: Stack,
    held_out: Stack,
    background: float,
    folder: Path,
    device: torch.device,
    start: OwnTokenizer | None = None,
) -> OwnTokenizer:
    """Train, keep the weights that the schedule asks for, return the network in eval mode.

    The held-out loss is L1 within the mask (SD), for a VQ-GAN with the perceptual distance added.

    Args:
        start: a trained network of the same sizes to begin with.

    Raises:
        InputError: a VQ-GAN has nothing to measure perceptual distance with.
    """
    torch.manual_seed(training.schedule.seed)
    tokenizer = make_own(config).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start is not None:
        tokenizer.load_state_dict(start.state_dict())
    gan, looks = training.adversarial, _perceptual(training, start, train.clip, device)
    model = GanPair(tokenizer, gan).to(device) if gan else tokenizer
    beta, outside = training.commitment, training.outside

    def losses(rng: torch.Generator, step: int) -> Losses:
        index = torch.randint(len(train), (training.schedule.batch,), generator=rng, device=device).cpu().numpy()
        clean, mask, position = batch(train, index, device)
        clean, mask = augment(clean, mask, background, rng, training.sway)
        shown = add_noise(soften(clean, mask, background, rng), mask, rng)
        if training.corrupt:
            shown = corrupt(shown, mask, rng, training.corrupt)
        again, codes, commitment = tokenizer(shown.contiguous(memory_format=torch.channels_last), position)
        weight = mask + outside * (1 - mask)
        apart = (again.float() - clean).abs()
        l1 = (weight * apart).sum() / weight.sum()
        error = l1 if training.error == "L1" else (weight * apart**2).sum() / weight.sum()
        used = torch.tensor(perplexity(codes, config.n_codes))
        found = {
            "loss": error + beta * commitment,
            "L1 (SD)": l1,
            "commitment": commitment,
            "codebook perplexity": used,
        }
        if looks:
            found["perceptual"] = looks(clean, again.float(), position)
            found["loss"] = found["loss"] + looks.weight * found["perceptual"]
        if gan:
            assert isinstance(model, GanPair)
            close = error + (looks.weight * found["perceptual"] if looks else 0)
            found |= discriminator_losses(model, clean, again, close, gan.weight if step >= gan.begin else 0.0)
            found["loss"] = found["loss"] + found.pop("adversarial")
        return found

    def score() -> float:
        return reconstruction_l1(tokenizer, held_out, device, every=4, looks=looks)

    fit(model, losses, score, folder, training.schedule, device)
    return tokenizer


def describe(training: TokenizerTraining) -> str:
    """The loss in words, for the card."""
    restores = f", {training.corrupt:.0%} of slices with spoilt patches" if training.corrupt else ""
    gan = training.adversarial
    if gan is None:
        return f"{training.error}{restores}"
    looks = f" and {(LPIPS if gan.lpips else EncoderFeatures).name}" if gan.perceptual else ""
    judge = f"a patch discriminator (hinge, adaptive weight up to {gan.weight:g} of the rest)"
    return f"{training.error}{looks}{restores}, and {judge}"


def _perceptual(
    training: TokenizerTraining, start: OwnTokenizer | None, clip: tuple[float, float], device: torch.device
) -> Perceptual | None:
    gan = training.adversarial
    if gan is None or not gan.perceptual:
        return None
    if gan.lpips is not None:
        return LPIPS(gan.lpips, clip, device, gan.perceptual)
    if start is None:
        raise InputError(
            "A VQ-GAN needs something to measure perceptual distance with: a trained tokenizer to begin with "
            "(--start), a file of LPIPS weights, or perceptual = 0 in the recipe."
        )
    return EncoderFeatures(copy.deepcopy(start).to(device), gan.perceptual)


def batch(stack: Stack, index, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Slices and masks (B, 1, H, W), positions (B,) on the device."""
    slices = torch.from_numpy(stack.slices(index))[:, None].to(device)
    mask = torch.from_numpy(stack.mask[index])[:, None].to(device, torch.float32)
    return slices, mask, torch.from_numpy(stack.position[index]).to(device)


@torch.no_grad()
def reconstruction_l1(
    model: Tokenizer, stack: Stack, device: torch.device, every: int = 1, looks: Perceptual | None = None
) -> float:
    """Mean |Y − decode(encode(Y))| within the mask, in SD, over every n-th slice; the perceptual distance added."""
    total = count = distance = 0.0
    for start in range(0, len(stack), 64 * every):
        slices, mask, position = batch(stack, slice(start, start + 64 * every, every), device)
        again = model.decode(model.encode(slices, position), position)
        total += float((mask * (again - slices).abs()).sum())
        count += float(mask.sum())
        if looks:
            distance += looks.weight * float(looks(slices, again, position)) * len(slices)
    return total / count + distance / len(range(0, len(stack), every))
