"""Distances and densities of decoder outputs: equations (12) to (17) of Vasilev et al. 2018, and the baseline N_x−y.

x are vectors (B, C), p = p(x | E q(z|x)) their reconstructions; Y are normal vectors y, p_y = p(x | E q(z|y)) theirs.
"""

from __future__ import annotations

from torch import Tensor

from napari_vqad.scores.novelty.gaussians import Gaussian
from napari_vqad.scores.novelty.mixture import log_mixture
from napari_vqad.scores.novelty.neighbours import GaussianNeighbours, Neighbours


def input_distance(x: Tensor, y: Neighbours) -> Tensor:
    """N_x−y, the baseline (Golkov et al. 2016), for an index of Y: (B,), in the unit of x.

    N_x−y(x) = min_y ‖ x − y ‖₂
    """
    return y.nearest(x, of="inputs")[0][:, 0]


def output_distance(p: Gaussian, means: Neighbours) -> Tensor:
    """N_p̄(q̄)−p̄(q̄y), equation (12), for an index of the means E p_y: (B,), in the unit of x.

    N_p̄(q̄)−p̄(q̄y)(x) = min_y ‖ E p(x | E q(z|x)) − E p(x | E q(z|y)) ‖₂
    """
    return means.nearest(p[0], of="outputs")[0][:, 0]


def output_bhattacharyya(p: Gaussian, outputs: GaussianNeighbours, candidates: int) -> Tensor:
    """N_p(q̄)−p(q̄y), equation (13), for an index of p_y: (B,), nats.

    N_p(q̄)−p(q̄y)(x) = min_y D_B( p(x | E q(z|x)), p(x | E q(z|y)) )
    """
    return outputs.nearest(p, candidates)


def output_density(p: Gaussian, outputs: Gaussian) -> Tensor:
    """−ln of the density in N_p(q̄)Y, equation (14), for p_y (M, C): (B,), nats. For the logarithm see `latent_density`.

    N_p(q̄)Y(x) = −p_Y( E p(x | E q(z|x)) ),  p_Y(x) = 1/|Y| Σ_y p(x | E q(z|y))
    """
    return -log_mixture(p[0], outputs)


def input_output_distance(x: Tensor, means: Neighbours) -> Tensor:
    """N_x−p̄(q̄y), equation (15), for an index of the means E p_y: (B,), in the unit of x.

    N_x−p̄(q̄y)(x) = min_y ‖ x − E p(x | E q(z|y)) ‖₂
    """
    return means.nearest(x, of="inputs")[0][:, 0]


def input_density(x: Tensor, outputs: Gaussian) -> Tensor:
    """−ln of the density in N_p(q̄)Y(x), equation (16), for p_y (M, C): (B,), nats. For the logarithm see (5).

    N_p(q̄)Y(x)(x) = −p_Y(x)
    """
    return -log_mixture(x, outputs)


def output_input_distance(p: Gaussian, y: Neighbours) -> Tensor:
    """N_p̄(q̄)−y, equation (17), for an index of Y: (B,), in the unit of x.

    N_p̄(q̄)−y(x) = min_y ‖ E p(x | E q(z|x)) − y ‖₂
    """
    return y.nearest(p[0], of="outputs")[0][:, 0]
