"""Novelty by reconstruction: equations (6) to (11) of Vasilev et al. 2018, and (8) to (11) with min for the mean.

x are vectors (B, C), q their codes q(z|x) (B, d), `decode` computes p(x|z). Samples z_i = μ + σ ε_i and x_i are drawn
with the given noise ε: (S, d) for codes, (S, C) for vectors. All vectors have the same S noise vectors (common random
numbers), so that a score depends on no other vector and equal vectors have equal scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

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


class Samples(NamedTuple):
    """How well reconstructions from sampled codes z_i ~ q(z|x) fit x, (S, B) each; scores are means or minima over i.

    Attributes:
        error: ‖ x − E p(x|z_i) ‖₂, in the unit of x.
        surprise: −ln p(x|z_i), nats.
        sampled_error: ‖ x − x_i ‖₂ with one x_i ~ p(x|z_i), in the unit of x.
    """

    error: Tensor
    surprise: Tensor
    sampled_error: Tensor

    @classmethod
    def of(cls, x: Tensor, q: Gaussian, decode: Decode, noise_z: Tensor, noise_x: Tensor) -> Samples:
        """Draw the codes and decode them, one sample after the other; only the three numbers of each are kept."""
        rows = []
        for of_z, of_x in zip(noise_z, noise_x, strict=True):
            p = decode(draw(q, of_z))
            sampled = (x - draw(p, of_x)).norm(dim=1)
            rows.append((reconstruction_error(x, p), reconstruction_likelihood(x, p), sampled))
        return cls(*(torch.stack(values) for values in zip(*rows, strict=True)))


def encoder_error(samples: Samples, over: Over = "mean") -> Tensor:
    """N_x−p̄(q̂), equation (8): (B,), in the unit of x.

    N_x−p̄(q̂)(x) = mean_i ‖ x − E p(x|z_i) ‖₂,  z_i ~ q(z|x)
    """
    return _over(samples.error, over)


def encoder_likelihood(samples: Samples, over: Over = "mean") -> Tensor:
    """N_p̄(q̂), equation (9), the "reconstruction probability" of An & Cho 2015: (B,), nats.

    N_p̄(q̂)(x) = mean_i −ln p(x|z_i),  z_i ~ q(z|x)
    """
    return _over(samples.surprise, over)


def decoder_error(x: Tensor, p: Gaussian, noise: Tensor, over: Over = "mean") -> Tensor:
    """N_x−p̂(q̄), equation (10), for p = p(x | E q(z|x)) and noise (S, C): (B,), in the unit of x.

    N_x−p̂(q̄)(x) = mean_i ‖ x − x_i ‖₂,  x_i ~ p(x | E q(z|x))
    """
    return _over(torch.stack([(x - draw(p, e)).norm(dim=1) for e in noise]), over)


def sampled_error(samples: Samples, over: Over = "mean") -> Tensor:
    """N_x−p̂(q̂), equation (11), one x_i for each z_i: (B,), in the unit of x.

    N_x−p̂(q̂)(x) = mean_i ‖ x − x_i ‖₂,  x_i ~ p(x|z_i),  z_i ~ q(z|x)
    """
    return _over(samples.sampled_error, over)


def _over(values: Tensor, over: Over) -> Tensor:
    return values.mean(0) if over == "mean" else values.amin(0)
