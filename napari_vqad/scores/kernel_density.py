"""Gaussian kernel density in the principal components of healthy vectors (Parzen 1962; Scott 1992).

    y = (f − m) / s                       each feature in its own healthy SD
    u = W y,  W = Λ^(−½) Eᵀ               d principal components, each of variance 1
    p(u) = 1/N Σ_i N(u; u_i, h² I)        h = N^(−1 / (d + 4)), Scott's rule

−ln p is high where a vector is unlike all healthy ones. `scipy.stats.gaussian_kde` gives the same density of u.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

LEAST_SD = 1e-6  # a feature that varies less says nothing, and its scale is 1
AT_ONCE = 64  # vectors whose distances to all healthy ones are computed together


@dataclass(frozen=True)
class KernelDensity:
    """A density that was fitted to healthy vectors; all arrays are float32.

    Attributes:
        mean, sd: m and s, (D,).
        whiten: W, (d, D).
        points: u_i of the healthy vectors, (N, d).
    """

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    whiten: NDArray[np.float32]
    points: NDArray[np.float32]

    @classmethod
    def fit(cls, vectors: NDArray, components: int) -> Self:
        """Fit to healthy vectors (N, D), with fewer components than asked for if the vectors vary in fewer.

        Raises:
            ValueError: there are fewer than two different vectors.
        """
        f = vectors.astype(np.float64)
        mean, sd = f.mean(0), f.std(0)
        sd = np.where(sd > LEAST_SD, sd, 1.0)
        y = (f - mean) / sd
        _, singular, axes = np.linalg.svd(y, full_matrices=False)
        kept = np.flatnonzero(singular > 1e-6 * max(singular[0], LEAST_SD))[:components]
        if len(f) < 2 or not len(kept):
            raise ValueError("a density needs two different vectors")
        whiten = axes[kept] * (np.sqrt(len(f) - 1) / singular[kept])[:, None]
        mean, sd, whiten, points = (a.astype(np.float32) for a in (mean, sd, whiten, y @ whiten.T))
        return cls(mean, sd, whiten, points)

    @property
    def bandwidth(self) -> float:
        """h, by Scott's rule."""
        n, d = self.points.shape
        return float(n ** (-1 / (d + 4)))

    def coordinates(self, vectors: NDArray) -> NDArray[np.float32]:
        """Compute u of vectors (n, D): (n, d)."""
        return ((vectors - self.mean) / self.sd @ self.whiten.T).astype(np.float32)

    def surprise(self, vectors: NDArray) -> NDArray[np.float32]:
        """Compute −ln p of vectors (n, D): (n,), nats."""
        u, (n, d), h = self.coordinates(vectors).astype(np.float64), self.points.shape, self.bandwidth
        found = [np.zeros(0)]
        for start in range(0, len(u), AT_ONCE):
            apart = ((u[start : start + AT_ONCE, None] - self.points[None]) ** 2).sum(2) / (2 * h**2)
            nearest = apart.min(1)  # taken out of the sum, which would be 0 far from all healthy vectors
            found.append(nearest - np.log(np.exp(nearest[:, None] - apart).sum(1)))
        constant = np.log(n) + d * np.log(h * np.sqrt(2 * np.pi))
        return (np.concatenate(found) + constant).astype(np.float32)
