"""Train a causal prior on the codes of healthy slices: mean NLL per code, in nats."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch.nn import functional as F

from napari_vqad.nets.pixelsnail import PixelSNAIL, PixelSnailConfig
from napari_vqad.nets.tokenizer import VQVAE
from napari_vqad.train.augment import augment
from napari_vqad.train.data import Stack
from napari_vqad.train.loop import Losses, Schedule, fit
from napari_vqad.train.tokenizer import batch


class PriorTraining(BaseModel):
    """What a prior learns from and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule = Schedule()
    variants: int = Field(4, ge=1, description="augmented versions of the training set that are turned into codes")
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")


def train_prior(
    config: PixelSnailConfig,
    training: PriorTraining,
    tokenizer: VQVAE,
    train: Stack,
    held_out: Stack,
    background: float,
    folder: Path,
    device: torch.device,
) -> PixelSNAIL:
    """Train, keep the weights with the lowest held-out NLL per code (nats), return the network in eval mode."""
    torch.manual_seed(training.schedule.seed)
    model = PixelSNAIL(config, tokenizer.n_codes).to(device)
    rng = torch.Generator(device=device).manual_seed(training.schedule.seed)
    # The first version is the scans as they are, since that is what the prior will be asked about.
    codes = torch.cat(
        [
            encode(tokenizer, train, background, device, None if v == 0 else rng, training.sway)
            for v in range(training.variants)
        ]
    )
    position = torch.from_numpy(train.position).repeat(training.variants)
    unseen, unseen_position = encode(tokenizer, held_out, background, device), torch.from_numpy(held_out.position)

    def losses(rng: torch.Generator) -> Losses:
        index = torch.randint(len(codes), (training.schedule.batch,), generator=rng, device=device).cpu()
        return {"loss": nll(model, codes[index].to(device), position[index].to(device))}

    def score() -> float:
        parts = range(0, len(unseen), 64)
        sums = [
            float(nll(model, unseen[i : i + 64].to(device), unseen_position[i : i + 64].to(device)))
            * len(unseen[i : i + 64])
            for i in parts
        ]
        return sum(sums) / len(unseen)

    fit(model, losses, score, folder, training.schedule, device)
    return model


def nll(model: PixelSNAIL, codes: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Mean −ln p(x_i | x_<i) over the codes of a batch, nats."""
    return F.cross_entropy(model.logits(codes, position).float(), codes)


@torch.no_grad()
def encode(
    tokenizer: VQVAE,
    stack: Stack,
    background: float,
    device: torch.device,
    rng: torch.Generator | None = None,
    sway: float = 1.0,
) -> torch.Tensor:
    """Codes (N, h, w) of all slices, augmented when a generator is given."""
    parts = []
    for start in range(0, len(stack), 64):
        slices, mask, position = batch(stack, slice(start, start + 64), device)
        if rng is not None:
            slices, _ = augment(slices, mask, background, rng, sway)
        parts.append(tokenizer.encode(slices, position).cpu())
    return torch.cat(parts)
