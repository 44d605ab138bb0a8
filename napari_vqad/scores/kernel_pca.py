"""Novelty by PCA and by kernel PCA: the distance of a vector from the subspace of normal vectors.

    PCA:          ‖ (x − m) − E Eᵀ (x − m) ‖₂
    kernel PCA:   ‖ φ̃(x) − P φ̃(x) ‖²,  φ̃(x) = φ(x) − 1/n Σ_i φ(x_i),  ⟨φ(x), φ(y)⟩ = exp(−‖x − y‖² / (2 h²))

Kernel PCA as novelty score: Hoffmann 2007 ("Kernel PCA for novelty detection"). It is computed by the kernel alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-10  # share of the largest variance; components with less are rounding errors
AT_ONCE = 1024  # vectors that are compared with all normal ones together


@dataclass(frozen=True)
class LinearSubspace:
    """Principal components of normal vectors.

    Attributes:
        mean: m, (D,).
        axes: Eᵀ, (d, D).
    """

    mean: NDArray
    axes: NDArray

    @classmethod
    def fit(cls, vectors: NDArray, share: float) -> Self:
        """Fit to normal vectors (N, D), with as few components as have this share of the variance."""
        mean = vectors.mean(0, dtype=np.float64)
        variances, axes = np.linalg.eigh(np.cov(vectors.astype(np.float64) - mean, rowvar=False))
        return cls(mean, axes[:, ::-1].T[: _components(variances[::-1], share)])

    def error(self, x: NDArray) -> NDArray:
        """Compute the distance of vectors (n, D) from the subspace: (n,)."""
        apart = x - self.mean
        return np.linalg.norm(apart - apart @ self.axes.T @ self.axes, axis=1)


@dataclass(frozen=True)
class KernelSubspace:
    """Principal components of normal vectors in the feature space of a Gaussian kernel.

    Attributes:
        vectors: x_i, (n, D).
        width: h.
        alphas: the components as sums over centred φ(x_i), each of length 1, (n, d).
        means, mean: means of the kernel matrix over i, (n,), and over all pairs.
    """

    vectors: NDArray
    width: float
    alphas: NDArray
    means: NDArray
    mean: float

    @classmethod
    def fit(cls, vectors: NDArray, share: float) -> Self:
        """Fit to normal vectors (n, D), with as few components as have this share of the variance in feature space.

        h is the median distance between the vectors.

        Raises:
            ValueError: all vectors are equal, or there are fewer than two.
        """
        squared = _squared_distances(vectors, vectors)
        width = float(np.sqrt(np.median(squared[np.triu_indices(len(vectors), 1)]))) if len(vectors) > 1 else 0.0
        if not width > 0:
            raise ValueError("kernel PCA needs two different vectors")
        kernel = np.exp(-squared / (2 * width**2))
        means = kernel.mean(0)
        variances, axes = np.linalg.eigh(kernel - means - means[:, None] + kernel.mean())
        variances, axes = variances[::-1], axes[:, ::-1]
        d = min(_components(variances.clip(min=0), share), int((variances > SMALLEST * variances[0]).sum()))
        return cls(vectors, width, axes[:, :d] / np.sqrt(variances[:d]), means, float(kernel.mean()))

    def error(self, x: NDArray) -> NDArray:
        """Compute the squared distance in feature space of vectors (n, D) from the subspace: (n,), 0 to about 1."""
        found = [np.zeros(0)]
        for start in range(0, len(x), AT_ONCE):
            kernel = np.exp(-_squared_distances(x[start : start + AT_ONCE], self.vectors) / (2 * self.width**2))
            own = kernel.mean(1)
            length = 1 - 2 * own + self.mean  # ‖φ̃(x)‖², since k(x, x) = 1
            within = (kernel - own[:, None] - self.means + self.mean) @ self.alphas
            found.append(length - (within**2).sum(1))
        return np.concatenate(found)


def _squared_distances(x: NDArray, y: NDArray) -> NDArray:
    """‖x − y‖² = ‖x‖² − 2 x·y + ‖y‖² of vectors (n, D) and (m, D), in float64: (n, m)."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    return ((x**2).sum(1)[:, None] - 2 * x @ y.T + (y**2).sum(1)).clip(min=0)


def _components(variances: NDArray, share: float) -> int:
    """The least number of components, of falling variances, that have a share of the variance; at least 1."""
    return int(np.searchsorted(np.cumsum(variances), share * variances.sum() * (1 - 1e-12))) + 1
