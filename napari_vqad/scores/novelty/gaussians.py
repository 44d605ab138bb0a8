"""Normal distributions with diagonal covariance, as pairs of means and ln σ², (B, D) each."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Gaussian = tuple[Tensor, Tensor]  # mean and ln σ², (B, D) each


def log_density(x: Tensor, p: Gaussian) -> Tensor:
    """ln N(x; μ, σ²) of vectors (…, D): (…), nats.

    ln N = −½ Σ_d ( (x_d − μ_d)² / σ_d² + ln σ_d² + ln 2π )
    """
    mean, log_variance = p
    return -0.5 * ((x - mean) ** 2 * (-log_variance).exp() + log_variance + math.log(2 * math.pi)).sum(-1)


def kl_from_standard(q: Gaussian) -> Tensor:
    """KL(q ‖ N(0, I)) of distributions (B, D): (B,), nats.

    KL = ½ Σ_d ( μ_d² + σ_d² − 1 − ln σ_d² )
    """
    mean, log_variance = q
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)


def bhattacharyya(p: Gaussian, q: Gaussian) -> Tensor:
    """D_B(p, q) = −ln ∫ √(p q) of distributions (…, D), which may be broadcast: (…), nats.

    D_B = Σ_d ( (μ1 − μ2)² / (4 (σ1² + σ2²)) + ½ ln( (σ1² + σ2²) / (2 σ1 σ2) ) )

    The logarithm is ln cosh(ln σ1 − ln σ2), which neither overflows nor loses digits for equal variances.
    """
    (m1, v1), (m2, v2) = p, q
    u = 0.5 * (v1 - v2).abs()
    log_cosh = (u + (0.5 * (-2 * u).expm1()).log1p()).clamp(min=0)
    return ((m1 - m2) ** 2 * (-torch.logaddexp(v1, v2)).exp() / 4 + log_cosh / 2).sum(-1)


def draw(p: Gaussian, noise: Tensor) -> Tensor:
    """μ + σ·noise, for noise that can be broadcast with (B, D)."""
    mean, log_variance = p
    return mean + (0.5 * log_variance).exp() * noise
