"""Restoration: unlikely codes replaced by draws from the prior (Marimont & Tarroni 2020 §2.4; Ishii 2023 §3.5).

With its noise g fixed, a restoration is a function, and the raster-order loop over codes is the unique fixed point of

    y_i  =  x_i                                 where the rule keeps code i,
            argmax_c ( ln p(c | y_<i) + g_ic )  elsewhere,

reached by applying it to all places at once, from y = x: everything up to the first change is final after one pass
(predictive sampling, Wiggers & Hoogeboom 2020; Song et al. 2021). The rules differ in what they keep:

    sequential   ℓ_i given the codes already restored, ℓ_i ≤ λ_p   (the paper's pixel-wise restoration; it drifts)
    anchored     ℓ_i given the original codes, ℓ_i ≤ λ_p
    light        as anchored, but one pass alone: every draw given the original codes
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_vqad.nets.pixelsnail import Prior
from napari_vqad.scores.nll import log_probabilities, nll


def restore(
    prior: Prior, codes: Tensor, position: Tensor, noise: Tensor, lambda_p: float, method: str
) -> tuple[Tensor, Tensor]:
    """Draw S restorations of each slice.

    Args:
        prior: a causal prior.
        codes: (B, h, w).
        position: (B,).
        noise: (B, S, K, h, w), Gumbel.
        lambda_p: nats.
        method: "sequential", "anchored" or "light".

    Returns:
        restored codes (B, S, h, w), and how many passes of the network each chain took, (B, S).
    """
    n_slices, n_chains = noise.shape[:2]
    x = codes.repeat_interleave(n_chains, 0)
    place = position.repeat_interleave(n_chains)
    g = noise.flatten(0, 1)

    # All chains of a slice start from the same codes, so their first pass is one.
    log_p = log_probabilities(prior, codes, position).repeat_interleave(n_chains, 0)
    keep = nll(log_p, x) <= lambda_p
    y = torch.where(keep, x, (log_p + g).argmax(1))
    passes = torch.ones(len(x), dtype=torch.long, device=x.device)

    # A chain that a pass left as it was is at its fixed point; `active` are the others.
    active = (y != x).flatten(1).any(1).nonzero()[:, 0] if method != "light" else x.new_empty(0)
    while len(active):
        log_p = log_probabilities(prior, y[active], place[active])
        keep_now = nll(log_p, x[active]) <= lambda_p if method == "sequential" else keep[active]
        again = torch.where(keep_now, x[active], (log_p + g[active]).argmax(1))
        moved = (again != y[active]).flatten(1).any(1)
        y[active] = again
        passes[active] += 1
        active = active[moved]
    return y.unflatten(0, (n_slices, n_chains)), passes.unflatten(0, (n_slices, n_chains))
