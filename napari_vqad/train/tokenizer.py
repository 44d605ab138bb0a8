"""Train a tokenizer: L1 to the clean slice, plus the codebook's commitment."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field

from napari_vqad.nets.codebook import perplexity
from napari_vqad.nets.tokenizer import VQVAE, Tokenizer, TokenizerConfig
from napari_vqad.train.augment import add_noise, augment
from napari_vqad.train.corrupt import corrupt
from napari_vqad.train.data import Stack
from napari_vqad.train.loop import Losses, Schedule, fit


class TokenizerTraining(BaseModel):
    """What a tokenizer learns from and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule = Schedule()
    commitment: float = Field(0.25, ge=0, description="β, weight of the commitment loss")
    outside: float = Field(0.1, ge=0, description="weight of a pixel outside the mask; inside it is 1")
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")
    corrupt: float = Field(0.75, ge=0, le=1, description="share of slices with spoilt patches; 0 for a plain VQ-VAE")


def train_tokenizer(
    config: TokenizerConfig,
    training: TokenizerTraining,
    train: Stack,
    held_out: Stack,
    background: float,
    folder: Path,
    device: torch.device,
) -> VQVAE:
    """Train, keep the weights with the lowest held-out L1 within the mask (SD), return the network in eval mode."""
    torch.manual_seed(training.schedule.seed)
    model = VQVAE(config).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def losses(rng: torch.Generator) -> Losses:
        index = torch.randint(len(train), (training.schedule.batch,), generator=rng, device=device).cpu().numpy()
        clean, mask, position = batch(train, index, device)
        clean, mask = augment(clean, mask, background, rng, training.sway)
        shown = add_noise(clean, mask, rng)
        if training.corrupt:
            shown = corrupt(shown, mask, rng, training.corrupt)
        again, codes, commitment = model(shown.contiguous(memory_format=torch.channels_last), position)
        weight = mask + training.outside * (1 - mask)
        l1 = (weight * (again.float() - clean).abs()).sum() / weight.sum()
        return {
            "loss": l1 + training.commitment * commitment,
            "L1 (SD)": l1,
            "commitment": commitment,
            "codebook perplexity": torch.tensor(perplexity(codes, config.n_codes)),
        }

    def score() -> float:
        return reconstruction_l1(model, held_out, device, every=4)

    fit(model, losses, score, folder, training.schedule, device)
    return model


def batch(stack: Stack, index, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Slices and masks (B, 1, H, W), positions (B,) on the device."""
    slices = torch.from_numpy(stack.slices(index))[:, None].to(device)
    mask = torch.from_numpy(stack.mask[index])[:, None].to(device, torch.float32)
    return slices, mask, torch.from_numpy(stack.position[index]).to(device)


@torch.no_grad()
def reconstruction_l1(model: Tokenizer, stack: Stack, device: torch.device, every: int = 1) -> float:
    """Mean |Y − decode(encode(Y))| within the mask, in SD, over every n-th slice."""
    total = count = 0.0
    for start in range(0, len(stack), 64 * every):
        slices, mask, position = batch(stack, slice(start, start + 64 * every, every), device)
        again = model.decode(model.encode(slices, position), position)
        total += float((mask * (again - slices).abs()).sum())
        count += float(mask.sum())
    return total / count
