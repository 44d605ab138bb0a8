"""Novelty in the latent space: equations (2) to (5) of Vasilev et al. 2018.

q are the codes q(z|x) of the vectors x to be judged, (B, d); Y are normal vectors, whose codes are the reference.
"""

from __future__ import annotations

from torch import Tensor

from napari_vqad.scores.novelty.gaussians import Gaussian, kl_from_standard
from napari_vqad.scores.novelty.mixture import log_mixture
from napari_vqad.scores.novelty.neighbours import GaussianNeighbours, Neighbours


def vae_regulariser(q: Gaussian) -> Tensor:
    """N_VAE-reg, equation (2): (B,), nats.

    N_VAE-reg(x) = KL( q(z|x) ‖ N(0, I) )
    """
    return kl_from_standard(q)


def latent_distance(q: Gaussian, means: Neighbours) -> Tensor:
    """N_q̄−q̄y, equation (3), for an index of the means E q(z|y): (B,), in SD of the prior.

    N_q̄−q̄y(x) = min_y ‖ E q(z|x) − E q(z|y) ‖₂
    """
    return means.nearest(q[0])[0][:, 0]


def latent_bhattacharyya(q: Gaussian, codes: GaussianNeighbours, candidates: int) -> Tensor:
    """N_q−qy, equation (4), for an index of the codes q(z|y): (B,), nats.

    N_q−qy(x) = min_y D_B( q(z|x), q(z|y) )
    """
    return codes.nearest(q, candidates)


def latent_density(q: Gaussian, codes: Gaussian) -> Tensor:
    """−ln of the density in N_qY, equation (5), for codes q(z|y) (M, d): (B,), nats.

    N_qY(x) = −q_Y( E q(z|x) ),  q_Y(z) = 1/|Y| Σ_y q(z|y)

    The logarithm increases with the paper's score, which is 0 wherever the density is below the least float; ROC and
    percentiles are those of the paper's score.
    """
    return -log_mixture(q[0], codes)
