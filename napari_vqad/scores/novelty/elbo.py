"""The loss of the VAE as a score: equations (20) and (21) of Vasilev et al. 2018; (1) is its sum over vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_vqad.scores.novelty.gaussians import Gaussian, draw, kl_from_standard, log_density
from napari_vqad.scores.novelty.reconstruction import Decode


def elbo_score(q: Gaussian, surprise: Tensor) -> Tensor:
    """N_−ELBO, equation (20) for one sample and (21) for several: (B,), nats.

    N_−ELBO(x) = −E_q[ ln p(x|z) ] + KL( q(z|x) ‖ N(0, I) ),  the expectation as the mean over z_i ~ q(z|x)

    Args:
        q: codes q(z|x), (B, d).
        surprise: −ln p(x|z_i), (S, B), as `Samples` has them.
    """
    return surprise.mean(0) + kl_from_standard(q)


def negative_elbo(x: Tensor, q: Gaussian, decode: Decode, noise: Tensor) -> Tensor:
    """The same from the vectors, with z_i = μ + σ·noise; its mean over vectors is the loss (1) of training: (B,), nats.

    Args:
        x: vectors (B, C).
        q: their codes q(z|x), (B, d).
        decode: computes p(x|z).
        noise: standard normal, (S, d) for all vectors, or (S, B, d) as training needs it.
    """
    return elbo_score(q, torch.stack([-log_density(x, decode(draw(q, e))) for e in noise]))
