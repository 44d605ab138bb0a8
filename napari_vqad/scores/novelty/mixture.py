"""The density of a mixture of many normal distributions with equal weights.

    p_Y(x) = 1/|Y| Σ_y N(x; μ_y, σ_y²)

Here the components are codes or reconstructions of normal vectors y.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_vqad.scores.novelty.gaussians import Gaussian

AT_ONCE = 8192  # components in memory at once, for each batch of points


def log_mixture(x: Tensor, components: Gaussian) -> Tensor:
    """ln p_Y(x) of points (B, D), for components (M, D) each: (B,), nats.

    The exponent −½ Σ ( x²/σ² − 2 x μ/σ² + μ²/σ² ) is a product of matrices, so that a million components take seconds
    for thousands of points. Points and means are first shifted by the mean component, since the product loses digits
    far from 0.

    Raises:
        ValueError: there are no components.
    """
    means, log_variances = components
    if not len(means):
        raise ValueError("a mixture needs a component")
    centre = means.mean(0)
    x = x - centre
    points = torch.cat([x**2, x, torch.ones_like(x[:, :1])], 1)
    largest, total = x.new_full((len(x),), -math.inf), x.new_zeros(len(x))
    for start in range(0, len(means), AT_ONCE):
        m, v = means[start : start + AT_ONCE] - centre, log_variances[start : start + AT_ONCE]
        w = (-v).exp()
        constant = (m**2 * w + v).sum(1, keepdim=True) + m.shape[1] * math.log(2 * math.pi)
        exponents = points @ torch.cat([-0.5 * w, m * w, -0.5 * constant], 1).T
        highest = torch.maximum(largest, exponents.amax(1))
        here = exponents.sub_(highest[:, None]).exp_().sum(1)
        total = total * (largest - highest).exp() + here
        largest = highest
    return largest + total.log() - math.log(len(means))


def thinned(components: Gaussian, most: int) -> Gaussian:
    """Return every n-th component, so that there are at most so many: their mean density estimates that of all."""
    n = -(-len(components[0]) // most)
    return components[0][::n], components[1][::n]
