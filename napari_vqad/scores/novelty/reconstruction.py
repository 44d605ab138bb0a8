"""Novelty by reconstruction: equations (6) to (11) of Vasilev et al. 2018, and (8) to (11) with min for the mean.

x are vectors (B, C), q their codes q(z|x) (B, d), `decode` computes p(x|z). Samples z_i = μ + σ ε_i and x_i are drawn
with the given noise ε: (S, d) for codes, (S, C) for vectors. All vectors have the same S noise vectors (common random
numbers), so that a score depends on no other vector and equal vectors have equal scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from napari_vqad.scores.novelty.gaussians import Gaussian, draw, log_density

Decode = Callable[[Tensor], Gaussian]
Over = Literal["mean", "min"]


def reconstruction_error(x: Tensor, p: Gaussian) -> Tensor:
    """N_x−p̄(q̄), equation (6), for p = p(x | E q(z|x)): (B,), in the unit of x.

    N_x−p̄(q̄)(x) = ‖ x − E p(x | E q(z|x)) ‖₂
    """
    return (x - p[0]).norm(dim=1)


def reconstruction_likelihood(x: Tensor, p: Gaussian) -> Tensor:
    """N_p̄(q̄), equation (7), for p = p(x | E q(z|x)): (B,), nats.

    N_p̄(q̄)(x) = −ln p( x | E q(z|x) )
    """
    return -log_density(x, p)


def encoder_error(x: Tensor, q: Gaussian, decode: Decode, noise: Tensor, over: Over = "mean") -> Tensor:
    """N_x−p̄(q̂), equation (8): (B,), in the unit of x.

    N_x−p̄(q̂)(x) = mean_i ‖ x − E p(x|z_i) ‖₂,  z_i ~ q(z|x)
    """
    return _over((reconstruction_error(x, decode(draw(q, e))) for e in noise), over)


def encoder_likelihood(x: Tensor, q: Gaussian, decode: Decode, noise: Tensor, over: Over = "mean") -> Tensor:
    """N_p̄(q̂), equation (9), the "reconstruction probability" of An & Cho 2015: (B,), nats.

    N_p̄(q̂)(x) = mean_i −ln p(x|z_i),  z_i ~ q(z|x)
    """
    return _over((reconstruction_likelihood(x, decode(draw(q, e))) for e in noise), over)


def decoder_error(x: Tensor, p: Gaussian, noise: Tensor, over: Over = "mean") -> Tensor:
    """N_x−p̂(q̄), equation (10), for p = p(x | E q(z|x)): (B,), in the unit of x.

    N_x−p̂(q̄)(x) = mean_i ‖ x − x_i ‖₂,  x_i ~ p(x | E q(z|x))
    """
    return _over(((x - draw(p, e)).norm(dim=1) for e in noise), over)


def sampled_error(
    x: Tensor, q: Gaussian, decode: Decode, noise_z: Tensor, noise_x: Tensor, over: Over = "mean"
) -> Tensor:
    """N_x−p̂(q̂), equation (11), one x_i for each z_i: (B,), in the unit of x.

    N_x−p̂(q̂)(x) = mean_i ‖ x − x_i ‖₂,  x_i ~ p(x|z_i),  z_i ~ q(z|x)
    """
    pairs = zip(noise_z, noise_x, strict=True)
    return _over(((x - draw(decode(draw(q, a)), b)).norm(dim=1) for a, b in pairs), over)


def _over(values, over: Over) -> Tensor:
    """Mean or minimum over samples, in memory for few of them at once."""
    total, count = None, 0
    for value in values:
        count += 1
        total = value if total is None else (total + value if over == "mean" else torch.minimum(total, value))
    if total is None:
        raise ValueError("a score by samples needs a sample")
    return total / count if over == "mean" else total
