"""Restoration: unlikely codes replaced by draws from the prior (Marimont & Tarroni 2020 §2.4; Ishii 2023 §3.5).

With its noise g fixed, a restoration is a function, and the raster-order loop over codes is the unique fixed point of

    y_i  =  x_i                                 where the rule keeps code i,
            argmax_c ( ln p(c | y_<i) + g_ic )  elsewhere,

reached by applying it to many places at once, from any guess: everything up to the first change is final after one
evaluation (predictive sampling, Wiggers & Hoogeboom 2020; Song et al. 2021). The rules differ in what they keep:

    sequential   ℓ_i given the codes already restored, ℓ_i ≤ λ_p   (the paper's pixel-wise restoration; it drifts)
    anchored     ℓ_i given the original codes, ℓ_i ≤ λ_p
    light        as anchored, but one pass alone: every draw given the original codes

With levels of codes (`LevelledPrior`) a code that refines one drawn anew is drawn anew, too, whatever its ℓ: it says
what the old one left out.

The guess is the `light` restoration, most of whose draws are right. A prior that can resume is asked for a window of a
few rows at a time, again and again until the window no longer changes; the rows above are final then and cost nothing
more. Other priors are asked for the whole grid each time.
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

# Codes that one evaluation should hold. Fewer, and the overhead of an evaluation shows; more, and windows grow tall and
# need more evaluations. Measured on two CPU cores: 15 chains of 13 columns are quickest two rows at a time, 60 one row.
# On a GPU an evaluation costs the same until it is full; the number for it is an estimate.
PLACES = {"cpu": 320, "cuda": 16384}


@dataclass(frozen=True)
class FirstPass:
    """What all restorations of some slices share, whatever λ_p, method and S.

    Attributes:
        codes: x, (B, h, w).
        position: (B,).
        noise: g, (B, S, K, h, w), Gumbel.
        log_p: ln p(c | x_<i), (B, K, h, w): of the one pass that all chains begin with.
        memory: what the prior saw in it.
    """

    prior: Prior
    codes: Tensor
    position: Tensor
    noise: Tensor
    log_p: Tensor
    memory: RowCache


class Restored(NamedTuple):
    """Codes (B, S, h, w), and passes (B, S): how often each chain went through the network, in whole grids."""

    codes: Tensor
    passes: Tensor


def first_pass(prior: Prior, codes: Tensor, position: Tensor, noise: Tensor) -> FirstPass:
    """The pass over the original codes (B, h, w) at `position` (B,), for restorations with `noise` (B, S, K, h, w)."""
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
        begun: the slices.
        lambda_p: nats.
        method: "sequential", "anchored" or "light".
        guess: (B, S, h, w), restorations with the same noise at a λ_p nearby. They save time and change nothing.
        check: called before each evaluation; what it raises ends the work.
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
    """From the guess y to the fixed point, in place, window by window."""
    n_chains, (height, width) = y.shape[1], y.shape[2:]
    # A chain is a row of the batch: M = all S chains of the slices where anything is unlikely.
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
            # Nothing is drawn below a chain's last unlikely code: it is finished and leaves the batch.
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
    """bool (B, S, h, w): the codes that refine one that differs between y and codes; none with a single level."""
    if not isinstance(begun.prior, LevelledPrior):
        return torch.zeros(y.shape, dtype=torch.bool, device=y.device)
    return begun.prior.levels.descendants((y != codes).flatten(0, 1)).unflatten(0, y.shape[:2])


def _possible(begun: FirstPass, unlikely: Tensor) -> Tensor:
    """bool (B, h, w): what may be drawn at all, by a rule that does not drift."""
    return unlikely | begun.prior.levels.descendants(unlikely) if isinstance(begun.prior, LevelledPrior) else unlikely
