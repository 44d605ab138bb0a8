"""Restoration: unlikely codes are replaced by draws from the prior (Marimont & Tarroni 2020 §2.4; Ishii 2023 §3.5).

For fixed noise g a restoration is deterministic. The result of the loop over codes in raster order is the unique fixed
point of

    y_i  =  x_i                                 if the method keeps code i,
            argmax_c ( ln p(c | y_<i) + g_ic )  otherwise.

This equation is applied to many codes at once, starting from a guess. After each evaluation, all codes up to the first
one that changed are final (predictive sampling, Wiggers & Hoogeboom 2020; Song et al. 2021). The methods differ in the
codes that they keep:

    sequential   codes with ℓ_i ≤ λ_p, ℓ_i given the codes already restored   (pixel-wise restoration of the paper)
    anchored     codes with ℓ_i ≤ λ_p, ℓ_i given the original codes
    light        as anchored, but in a single pass: each draw is given the original codes

With several levels of codes (`LevelledPrior`), a fine code is also redrawn if the coarse code that it refines was
changed, whatever its own ℓ_i, because it describes what the old coarse code left out.

The guess is the `light` restoration, in which most draws are already final. If the prior can resume, it evaluates a
window of a few rows until the window no longer changes. The rows above are then final and are not computed again. Other
priors evaluate the whole grid each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from napari_vqad.detectors.vq.likelihood import log_probabilities, nll
from napari_vqad.nets.vq.kv_cache import RowCache
from napari_vqad.nets.vq.protocols import LevelledPrior, Prior, ResumingPrior

# Codes per evaluation. With fewer codes the overhead of an evaluation dominates; with more, windows have more rows and
# need more evaluations. On two CPU cores, windows of two rows are the quickest for 15 chains of 13 columns, and windows
# of one row for 60 chains. On a GPU all sizes up to a limit cost the same; the number for GPUs is an estimate.
PLACES = {"cpu": 320, "cuda": 16384}


@dataclass(frozen=True)
class FirstPass:
    """The pass over the original codes, with which the restorations for all λ_p and methods start.

    Attributes:
        prior: the causal prior.
        codes: x, (B, h, w).
        position: (B,).
        noise: Gumbel noise g, (B, S, K, h, w).
        log_p: ln p(c | x_<i), (B, K, h, w).
        memory: activations of the prior in this pass.
    """

    prior: Prior
    codes: Tensor
    position: Tensor
    noise: Tensor
    log_p: Tensor
    memory: RowCache


class Restored(NamedTuple):
    """Restored codes (B, S, h, w), and the number of passes of each chain (B, S), in units of a whole grid."""

    codes: Tensor
    passes: Tensor


def first_pass(prior: Prior, codes: Tensor, position: Tensor, noise: Tensor) -> FirstPass:
    """Compute the pass over the original codes (B, h, w) at `position` (B,); `noise` is (B, S, K, h, w)."""
    memory = RowCache()
    return FirstPass(prior, codes, position, noise, log_probabilities(prior, codes, position, memory), memory)


def restore(
    begun: FirstPass,
    lambda_p: float,
    method: str,
    guess: Tensor | None = None,
    check: Callable[[], None] = lambda: None,
) -> Restored:
    """Draw S restorations of each slice.

    Args:
        begun: the first pass over the slices.
        lambda_p: nats.
        method: "sequential", "anchored" or "light".
        guess: (B, S, h, w), restorations with the same noise at a similar λ_p. They save time but do not change the
            result.
        check: called before each evaluation; it may raise an exception to stop the work.
    """
    codes, noise = begun.codes, begun.noise
    n_chains = noise.shape[1]
    unlikely = nll(begun.log_p, codes) > lambda_p
    drawn = torch.stack([(begun.log_p + noise[:, j]).argmax(1) for j in range(n_chains)], 1)
    y = torch.where(unlikely[:, None], drawn, codes[:, None])
    y = torch.where(_refining(begun, y, codes[:, None]), drawn, y)
    passes = torch.full(y.shape[:2], 1.0 / n_chains, device=y.device)
    if method != "light" and unlikely.any():
        if guess is not None:
            y = torch.where(_possible(begun, unlikely)[:, None] & (guess != codes[:, None]), guess, y)
        _iterate_to_fixed_point(begun, y, passes, unlikely, lambda_p, method == "sequential", check)
    return Restored(y, passes)


def _iterate_to_fixed_point(
    begun: FirstPass,
    y: Tensor,
    passes: Tensor,
    unlikely: Tensor,
    lambda_p: float,
    drifts: bool,
    check: Callable[[], None],
) -> None:
    """Iterate from the guess y to the fixed point, in place, one window of rows after the other.

    `drifts` is True for "sequential", whose decisions depend on the codes already restored.
    """
    n_chains, (height, width) = y.shape[1], y.shape[2:]
    # Each chain is an item of the batch: all S chains of each slice with unlikely codes.
    owner = unlikely.flatten(1).any(1).nonzero()[:, 0].repeat_interleave(n_chains)
    chain = torch.arange(n_chains, device=y.device).repeat(len(owner) // n_chains)
    has = _possible(begun, unlikely).any(2)
    first, last = int(has.any(0).int().argmax()), height - 1 - has.flip(1).int().argmax(1)
    if isinstance(begun.prior, ResumingPrior):
        step = min(height, max(1, round(PLACES.get(y.device.type, PLACES["cuda"]) / (len(owner) * width))))
    else:
        first, step = 0, height
    memory = begun.memory.fork(first, step, width, owner)

    for row in range(first, height, step):
        if not drifts and len(going := (last[owner] >= row).nonzero()[:, 0]) < len(owner):
            # A chain has no draws below its last row with unlikely codes: it is finished and leaves the batch.
            owner, chain = owner[going], chain[going]
            memory.keep(going)
        if not len(owner):
            return
        window = slice(row, min(row + step, height))
        x, kept, g = begun.codes[owner, window], ~unlikely[owner, window], begun.noise[owner, chain, :, window]
        now = y[owner, chain, window]
        moving = torch.arange(len(owner), device=y.device)
        while len(moving):
            check()
            memory.select(None if len(moving) == len(owner) else moving)
            log_p = log_probabilities(begun.prior, now[moving], begun.position[owner[moving]], memory)
            keep = nll(log_p, x[moving]) <= lambda_p if drifts else kept[moving]
            if isinstance(begun.prior, LevelledPrior):
                whole = y[owner[moving], chain[moving]]
                whole[:, window] = now[moving]
                keep = keep & ~begun.prior.levels.descendants(whole != begun.codes[owner[moving]])[:, window]
            again = torch.where(keep, x[moving], (log_p + g[moving]).argmax(1))
            passes[owner[moving], chain[moving]] += x.shape[1] / height
            moved = (again != now[moving]).flatten(1).any(1)
            now[moving] = again
            moving = moving[moved]
        memory.commit(x.shape[1], width)
        y[owner, chain, window] = now


def _refining(begun: FirstPass, y: Tensor, codes: Tensor) -> Tensor:
    """Find the codes, bool (B, S, h, w), that refine a code that differs between y and codes; none with one level."""
    if not isinstance(begun.prior, LevelledPrior):
        return torch.zeros(y.shape, dtype=torch.bool, device=y.device)
    return begun.prior.levels.descendants((y != codes).flatten(0, 1)).unflatten(0, y.shape[:2])


def _possible(begun: FirstPass, unlikely: Tensor) -> Tensor:
    """Find the codes, bool (B, h, w), that "anchored" and "light" may draw."""
    return unlikely | begun.prior.levels.descendants(unlikely) if isinstance(begun.prior, LevelledPrior) else unlikely
