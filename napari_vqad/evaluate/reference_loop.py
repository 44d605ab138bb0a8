"""The plain way to restore, as the definitions read: one code after the other, a whole pass of the network for each.

It is what tests hold the quick way against, and what `bench` compares it with.
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
    """S restorations of one slice: codes (h, w), position (), noise (S, K, h, w), λ_p in nats.

    Returns:
        restored codes (S, h, w), and how close to a tie each chain came, (S,) in nats: the least distance of an ℓ_i
        from λ_p, or of the best draw from the second best.
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
