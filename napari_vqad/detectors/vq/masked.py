"""Likelihood and restoration with a masked prior, which sees the codes on both sides (Ishii 2023, §6.1, eq. 20).

The prior must not see the code that it predicts. The codes are therefore divided into folds, and one fold at a time is
hidden. The first pass finds the unlikely codes

    u  =  {i : −ln p(x_i | x without the fold of i) > doubt}.

Anomalous codes make neighbouring anomalous codes look likely. The second pass therefore hides all of u:

    ℓ_i  =  −ln p(x_i | x without u and without the fold of i).

Restoration resamples the codes with ℓ_i > λ_p, given the other codes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_vqad.detectors.vq.likelihood import nll
from napari_vqad.nets.vq.protocols import MaskedPrior


def fold_of(shape: tuple[int, int], folds: int, device: torch.device | str = "cpu") -> Tensor:
    """Compute the fold of each place, (h, w); with four or more folds, neighbours are in different folds."""
    rows, columns = (torch.arange(n, device=device) for n in shape)
    return (2 * rows[:, None] + columns) % folds


def nll_by_folds(prior: MaskedPrior, codes: Tensor, position: Tensor, hidden: Tensor) -> Tensor:
    """Compute −ln p(x_i | codes neither hidden nor in the fold of i), nats: (B, h, w) → (B, h, w)."""
    fold, found = (
        fold_of((codes.shape[1], codes.shape[2]), prior.folds, codes.device),
        torch.zeros(codes.shape, device=codes.device),
    )
    for number in range(prior.folds):
        asked = fold == number
        found = torch.where(asked, nll(_log_p(prior, codes, hidden | asked, position), codes), found)
    return found


def masked_nll(prior: MaskedPrior, codes: Tensor, position: Tensor) -> Tensor:
    """Compute ℓ in two passes, nats: codes (B, h, w), position (B,) → (B, h, w).

    If the prior's `rounds` is above 1, the second pass is repeated with the u found by the pass before, until u no
    longer changes, at most `rounds` times in all.
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
    """Resample the codes of u: y_i = argmax_c(ln p(c | x without u) + g_ic) for i in u, else x_i.

    One pass of the network serves all S restorations.

    Args:
        prior: the masked prior.
        codes: x, (B, h, w).
        position: (B,).
        unlikely: u, bool (B, h, w).
        noise: Gumbel noise g, (B, S, K, h, w).

    Returns:
        (B, S, h, w).
    """
    log_p = _log_p(prior, codes, unlikely, position)
    drawn = torch.stack([(log_p + noise[:, j]).argmax(1) for j in range(noise.shape[1])], 1)
    return torch.where(unlikely[:, None], drawn, codes[:, None])


def _log_p(prior: MaskedPrior, codes: Tensor, hidden: Tensor, position: Tensor) -> Tensor:
    return F.log_softmax(prior.logits_beside(codes, hidden, position).float(), dim=1)
