"""Likelihood and restoration with a prior that sees both sides of a code (Ishii 2023, §6.1, eq. 20).

No code may be asked to explain itself, so codes are hidden in turn, a fold at a time. What is unlikely in a first pass,

    u  =  {i : −ln p(x_i | x without the fold of i) > doubt},

would make its neighbours look likely: one dark code explains the next. The second pass hides all of u from everybody:

    ℓ_i  =  −ln p(x_i | x without u and without the fold of i).

Restoration draws the codes above λ_p anew, given those below it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_vqad.detectors.vq.likelihood import nll
from napari_vqad.nets.vq.protocols import MaskedPrior


def fold_of(shape: tuple[int, int], folds: int, device: torch.device | str = "cpu") -> Tensor:
    """Which fold each place belongs to, (h, w): no two neighbours share one when there are four or more."""
    rows, columns = (torch.arange(n, device=device) for n in shape)
    return (2 * rows[:, None] + columns) % folds


def nll_by_folds(prior: MaskedPrior, codes: Tensor, position: Tensor, hidden: Tensor) -> Tensor:
    """−ln p(x_i | the codes that are neither hidden nor in the fold of i), nats: (B, h, w) → (B, h, w)."""
    fold, found = (
        fold_of((codes.shape[1], codes.shape[2]), prior.folds, codes.device),
        torch.zeros(codes.shape, device=codes.device),
    )
    for number in range(prior.folds):
        asked = fold == number
        found = torch.where(asked, nll(_log_p(prior, codes, hidden | asked, position), codes), found)
    return found


def masked_nll(prior: MaskedPrior, codes: Tensor, position: Tensor) -> Tensor:
    """ℓ of the two-pass density, nats: codes (B, h, w), position (B,) → (B, h, w).

    With more than one of the prior's `rounds` the second pass is repeated with the u that it finds itself, until that
    stays as it is.
    """
    hidden = torch.zeros(codes.shape, dtype=torch.bool, device=codes.device)
    found = nll_by_folds(prior, codes, position, hidden)
    for _ in range(prior.rounds):
        unlikely = found > prior.doubt
        if torch.equal(unlikely, hidden):
            break
        hidden = unlikely
        found = nll_by_folds(prior, codes, position, hidden)
    return found


def resample(prior: MaskedPrior, codes: Tensor, position: Tensor, unlikely: Tensor, noise: Tensor) -> Tensor:
    """y_i = argmax_c(ln p(c | x without u) + g_ic) for i in u, else x_i: one pass for all S restorations.

    Args:
        codes, position: x (B, h, w), (B,).
        unlikely: u, bool (B, h, w).
        noise: g, (B, S, K, h, w), Gumbel.

    Returns:
        (B, S, h, w).
    """
    log_p = _log_p(prior, codes, unlikely, position)
    drawn = torch.stack([(log_p + noise[:, j]).argmax(1) for j in range(noise.shape[1])], 1)
    return torch.where(unlikely[:, None], drawn, codes[:, None])


def _log_p(prior: MaskedPrior, codes: Tensor, hidden: Tensor, position: Tensor) -> Tensor:
    return F.log_softmax(prior.logits_beside(codes, hidden, position).float(), dim=1)
