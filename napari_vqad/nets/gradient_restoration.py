"""Restoration of slices by gradient descent in pixel space, under a VAE as prior (You et al. 2019; Chen et al. 2020).

    X* = argmin_X  −ELBO(X) + w · D(X − Y)          X ← X − α · ∇_X [ −ELBO(X) + w · D(X − Y) ],  X = Y at first

    D(U) = TV(U) = Σ |U_{i+1,j} − U_{i,j}| + |U_{i,j+1} − U_{i,j}|          or          D(U) = Σ |U|

X* is the maximum a posteriori estimate of the healthy slice, with exp(−w · D) as the likelihood of Y. −ELBO is the loss
of the VAE, summed over the pixels, at the mean of the latent, so that a slice has exactly one restoration. One unit of
D costs as much as w units of |X − decode(encode(X))|.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from napari_vqad.nets import autoencoder
from napari_vqad.nets.autoencoder import LatentNetwork


def negative_elbo(network: LatentNetwork, slices: Tensor, position: Tensor) -> Tensor:
    """Compute −ELBO of slices (B, 1, H, W) at the mean of their latents: Σ |X − decode(μ(X))| + kl · KL, (B,), nats."""
    latent = network.encode(slices, position)
    decoded = network.decode(latent.mean, position)
    return autoencoder.loss(network, slices, decoded, latent) * slices[0].numel()


def total_variation(difference: Tensor) -> Tensor:
    """Compute the anisotropic TV of pictures (B, 1, H, W), in their unit: (B,)."""
    down, right = difference.diff(dim=-2).abs(), difference.diff(dim=-1).abs()
    return down.flatten(1).sum(1) + right.flatten(1).sum(1)


def absolute_sum(difference: Tensor) -> Tensor:
    """Compute Σ |U| of pictures U (B, 1, H, W), in their unit: (B,)."""
    return difference.abs().flatten(1).sum(1)


DATA_TERMS: Mapping[str, Callable[[Tensor], Tensor]] = {"TV": total_variation, "L1": absolute_sum}


def energy(
    network: LatentNetwork, restored: Tensor, slices: Tensor, position: Tensor, weight: float, term: str
) -> Tensor:
    """Compute −ELBO(X) + w · D(X − Y) of each slice, (B,); `term` is a name in `DATA_TERMS`."""
    return negative_elbo(network, restored, position) + weight * DATA_TERMS[term](restored - slices)


def descend(
    network: LatentNetwork,
    restored: Tensor,
    slices: Tensor,
    position: Tensor,
    steps: int,
    rate: float,
    weight: float,
    term: str,
    check: Callable[[], None],
) -> Tensor:
    """Take `steps` steps of gradient descent from X = `restored`; there are no moments, so any X can be continued.

    Args:
        network: a VAE in eval mode.
        restored, slices: X and Y, (B, 1, H, W), SD.
        position: (B,).
        steps, rate, weight, term: number of steps, α in SD, w, and the name of D in `DATA_TERMS`.
        check: called before each step.

    Returns:
        X after these steps, (B, 1, H, W), SD.
    """
    with torch.enable_grad():
        for _ in range(steps):
            check()
            x = restored.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(energy(network, x, slices, position, weight, term).sum(), x)
            restored = restored.detach() - rate * gradient
    return restored.detach()
