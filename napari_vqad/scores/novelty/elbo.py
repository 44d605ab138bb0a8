"""The loss of the VAE as a score: equations (20) and (21) of Vasilev et al. 2018; (1) is its sum over vectors."""

from __future__ import annotations

from torch import Tensor

from napari_vqad.scores.novelty.gaussians import Gaussian, kl_from_standard
from napari_vqad.scores.novelty.reconstruction import Decode, encoder_likelihood


def negative_elbo(x: Tensor, q: Gaussian, decode: Decode, noise: Tensor) -> Tensor:
    """N_−ELBO, equations (20) for one sample and (21) for several: (B,), nats.

    N_−ELBO(x) = −E_q[ ln p(x|z) ] + KL( q(z|x) ‖ N(0, I) ),  the mean over z_i = μ + σ ε_i ~ q(z|x)

    Args:
        x: vectors (B, C).
        q: their codes q(z|x), (B, d).
        decode: computes p(x|z).
        noise: ε_i, (S, d), for all vectors; or (S, B, d), as training needs it.
    """
    return encoder_likelihood(x, q, decode, noise) + kl_from_standard(q)
