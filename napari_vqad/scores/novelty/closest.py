"""The closest vector that the VAE can generate: equations (18) and (19) of Vasilev et al. 2018.

The search is L-BFGS from z = E q(z|x), for each vector on its own. It ends in a local minimum, which is never worse
than the start: N_x−p̂ ≤ N_x−p̄(q̄) and N_p̂ ≤ N_p̄(q̄) where the start is within the bounds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_vqad.scores.novelty.gaussians import log_density
from napari_vqad.scores.novelty.lbfgs import minimise
from napari_vqad.scores.novelty.reconstruction import Decode

BOUND = 10.0  # the paper's box, [−10, 10]^d
STEPS = 100  # largest number of iterations of a search


def closest_distance(
    x: Tensor,
    start: Tensor,
    decode: Decode,
    bound: float = torch.inf,
    steps: int = STEPS,
    check: Callable[[], None] | None = None,
) -> Tensor:
    """N_x−p̂, equation (18); with a finite bound N_x−p̂b: (B,), in the unit of x.

    N_x−p̂(x) = min_z ‖ x − E p(x|z) ‖₂,  z in [−bound, bound]^d

    Args:
        x: vectors (B, C).
        start: E q(z|x), (B, d).
        decode: computes p(x|z); its weights should need no gradient.
        bound: clips the start, too.
        steps, check: see `lbfgs.minimise`.
    """

    def half_squared(z: Tensor, rows: Tensor) -> Tensor:  # smooth, with the same minimum
        return 0.5 * ((x[rows] - decode(z)[0]) ** 2).sum(1)

    return (2 * minimise(half_squared, start, bound, steps, check=check).value).sqrt()


def highest_likelihood(
    x: Tensor,
    start: Tensor,
    decode: Decode,
    bound: float = torch.inf,
    steps: int = STEPS,
    check: Callable[[], None] | None = None,
) -> Tensor:
    """N_p̂, equation (19); arguments as of `closest_distance`: (B,), nats.

    N_p̂(x) = min_z −ln p(x|z),  z in [−bound, bound]^d
    """

    def surprise(z: Tensor, rows: Tensor) -> Tensor:
        return -log_density(x[rows], decode(z))

    return minimise(surprise, start, bound, steps, check=check).value
