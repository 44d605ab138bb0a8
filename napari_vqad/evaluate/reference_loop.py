"""The reference implementation of restoration: one code after the other, with a whole pass of the network for each.

Tests check the fast implementation (`detectors.vq.restoration`) against it, and `bench` compares their speed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_vqad.detectors.vq.likelihood import log_probabilities
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.protocols import LevelledPrior, Prior


def restore_by_loop(
    prior: Prior, codes: Tensor, position: Tensor, noise: Tensor, lambda_p: float, method: str
) -> tuple[Tensor, Tensor]:
    """Compute S restorations of one slice.

    Args:
        prior: a causal prior.
        codes: (h, w), original codes.
        position: scalar tensor, position of the slice in the head, 0 to 1.
        noise: Gumbel noise (S, K, h, w).
        lambda_p: nats.
        method: "sequential", "anchored" or "light".

    Returns:
        Restored codes (S, h, w), and for each restoration how close a decision was to a tie, (S,) in nats: the smallest
        distance of an ℓ_i from λ_p, or of the best draw from the second best.
    """
    s = len(noise)
    x, place = codes.expand(s, *codes.shape), position.expand(s)
    original = log_probabilities(prior, x, place)
    y, closest = x.clone(), torch.full((s,), torch.inf, device=codes.device)
    levels = prior.levels if isinstance(prior, LevelledPrior) else CodeLevels(tuple(codes.shape))  # type: ignore[arg-type]
    for row, column in levels.is_code.nonzero().tolist():
        given = original if method == "light" else log_probabilities(prior, y, place)
        judged = given if method == "sequential" else original
        surprise = -judged[:, codes[row, column], row, column]
        drawn = given[:, :, row, column] + noise[:, :, row, column]
        best = drawn.topk(2, 1).values
        anew = (surprise > lambda_p) | levels.descendants(y != x)[:, row, column]
        doubt = torch.where(anew, best[:, 0] - best[:, 1], torch.inf)
        closest = torch.minimum(closest, torch.minimum(doubt, (surprise - lambda_p).abs()))
        y[:, row, column] = torch.where(anew, drawn.argmax(1), x[:, row, column])
    return y, closest
