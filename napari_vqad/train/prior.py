"""Train a prior on the codes of healthy slices: mean NLL per code, in nats."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.detectors.vq.masked import nll_by_folds
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.protocols import MaskedPrior
from napari_vqad.nets.vq.registry import PriorConfig, make_prior
from napari_vqad.nets.vq.vqvae import Tokenizer
from napari_vqad.train.augment import augment, soften
from napari_vqad.train.cuda_graph import capture
from napari_vqad.train.data import Stack
from napari_vqad.train.fit import Losses, Schedule, fit
from napari_vqad.train.same_recipe import Options
from napari_vqad.train.tokenizer import batch

AT_ONCE = 64  # slices


class PriorTraining(BaseModel):
    """How a prior is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schedule: Schedule = Schedule()
    variants: int = Field(4, ge=1, description="number of augmented versions of the training set that are encoded")
    sway: float = Field(1.0, ge=0, le=1, description="share of the augmentation's rotation, scale and shift")


def train_prior(
    config: PriorConfig,
    training: PriorTraining,
    tokenizer: Tokenizer,
    train: Stack,
    held_out: Stack,
    background: float,
    folder: Path,
    device: torch.device,
    levels: CodeLevels,
    start: nn.Module | None = None,
    recipe: Options | None = None,
) -> nn.Module:
    """Train a prior and return it in eval mode, with the weights that the schedule asks for.

    The held-out loss is the mean NLL per code, nats.

    `levels` are those of the codes. `start` is a trained prior of the same sizes to begin with, of a tokenizer whose
    codes have a similar meaning. `recipe` is that of `fit`.
    """
    torch.manual_seed(training.schedule.seed)
    model = make_prior(config, tokenizer.n_codes).to(device)
    if start is not None:
        model.load_state_dict(start.state_dict())
    rng = torch.Generator(device=device).manual_seed(training.schedule.seed)
    # The first version is not augmented, because the prior will judge scans that are not augmented.
    codes = torch.cat(
        [
            encode(tokenizer, train, background, device, None if v == 0 else rng, training.sway)
            for v in range(training.variants)
        ]
    )
    position = torch.from_numpy(train.position).repeat(training.variants)
    if not isinstance(model, MaskedPrior):
        n = training.schedule.batch
        nothing = torch.zeros(n, *codes.shape[1:], dtype=codes.dtype, device=device)
        capture(model, nothing, torch.zeros(n, device=device))
    share = float(levels.is_code.float().mean())  # places without a code have ℓ = 0
    unseen, unseen_position = encode(tokenizer, held_out, background, device), torch.from_numpy(held_out.position)

    def losses(rng: torch.Generator, _step: int) -> Losses:
        index = torch.randint(len(codes), (training.schedule.batch,), generator=rng, device=device).cpu()
        return {"loss": loss(model, codes[index].to(device), position[index].to(device), rng) / share}

    def score() -> float:
        parts = [slice(i, i + AT_ONCE) for i in range(0, len(unseen), AT_ONCE)]
        sums = [
            held_out_nll(model, unseen[p].to(device), unseen_position[p].to(device)) * len(unseen[p]) for p in parts
        ]
        return sum(sums) / len(unseen) / share

    fit(model, losses, score, folder, training.schedule, device, recipe=recipe)
    return model


def loss(model: nn.Module, codes: Tensor, position: Tensor, rng: torch.Generator) -> Tensor:
    """Compute mean −ln p(x_i | …) over the codes of a batch, nats; for a masked prior, over hidden codes only."""
    if not isinstance(model, MaskedPrior):
        return F.cross_entropy(model(codes, position).float(), codes)
    hidden = hide(codes.shape, rng, codes.device)
    each = F.cross_entropy(model.logits_beside(codes, hidden, position).float(), codes, reduction="none")
    return each[hidden].mean()


def held_out_nll(model: nn.Module, codes: Tensor, position: Tensor) -> float:
    """Compute the mean NLL per code, nats; for a masked prior by folds, with no other codes hidden."""
    if not isinstance(model, MaskedPrior):
        return float(F.cross_entropy(model.logits(codes, position).float(), codes))  # type: ignore[operator]
    nothing = torch.zeros(codes.shape, dtype=torch.bool, device=codes.device)
    return float(nll_by_folds(model, codes, position, nothing).mean())


def hide(shape: torch.Size, rng: torch.Generator, device: torch.device) -> Tensor:
    """Choose the codes to hide, bool (B, h, w): scattered codes, patches (as lesions do), or both.

    Codes are scattered at a rate between 5 and 60 %. Patches are where smooth noise exceeds a threshold; they cover up
    to half of the slice.
    """
    b, h, w = shape
    rate = 0.05 + 0.55 * torch.rand(b, 1, 1, generator=rng, device=device)
    scattered = torch.rand(shape, generator=rng, device=device) < rate
    coarse = torch.randn(b, 1, max(2, h // 4), max(2, w // 4), generator=rng, device=device)
    smooth = F.interpolate(coarse, (h, w), mode="bicubic", align_corners=False)[:, 0]
    patches = smooth > 1.5 * torch.rand(b, 1, 1, generator=rng, device=device)
    turn = torch.rand(b, 1, 1, generator=rng, device=device)
    hidden = torch.where(turn < 0.5, scattered, torch.where(turn < 0.75, patches, scattered | patches))
    return hidden | ~hidden.flatten(1).any(1)[:, None, None]  # if no code is hidden, hide all


@torch.no_grad()
def encode(
    tokenizer: Tokenizer,
    stack: Stack,
    background: float,
    device: torch.device,
    rng: torch.Generator | None = None,
    sway: float = 1.0,
) -> torch.Tensor:
    """Encode all slices as codes (N, h, w); with a generator, augment them first."""
    parts = []
    for start in range(0, len(stack), AT_ONCE):
        slices, mask, position = batch(stack, slice(start, start + AT_ONCE), device)
        if rng is not None:
            slices, mask = augment(slices, mask, background, rng, sway)
            slices = soften(slices, mask, background, rng)
        parts.append(tokenizer.encode(slices, position).cpu())
    return torch.cat(parts)
