"""Nearest neighbours of vectors and of normal distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from napari_vqad.scores.novelty.gaussians import Gaussian, bhattacharyya


@dataclass(frozen=True)
class Neighbours:
    """An index of vectors (M, D), in which the nearest ones to a point are found."""

    tree: cKDTree

    @classmethod
    def of(cls, vectors: Tensor) -> Self:
        """Build the index of vectors (M, D).

        Raises:
            ValueError: there are no vectors, or a number is not finite.
        """
        points = vectors.detach().cpu().numpy()
        if not len(points) or not np.isfinite(points).all():
            raise ValueError("an index needs a vector, and finite numbers")
        return cls(cKDTree(points, balanced_tree=False, compact_nodes=False))

    def __len__(self) -> int:
        return self.tree.n

    def nearest(self, points: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
        """Return Euclidean distances and numbers of the k nearest vectors to points (B, D): (B, k) each."""
        k = min(k, len(self))
        distances, numbers = self.tree.query(points.detach().cpu().numpy(), k=range(1, k + 1))
        return torch.from_numpy(distances).to(points), torch.from_numpy(numbers).to(points.device)


@dataclass(frozen=True)
class GaussianNeighbours:
    """An index of normal distributions (M, D), in which the nearest one by Bhattacharyya distance is found.

    Candidates come from an index in which Euclidean distances resemble D_B: with σ̄² the mean variance of a
    dimension and ln cosh u ≈ u²/2,

        D_B ≈ Σ_d ( (μ1 − μ2)² / (8 σ̄²) + (ln σ1 − ln σ2)² / 4 )

    D_B of the candidates is exact.

    Attributes:
        gaussians: means and ln σ², (M, D) each.
        scale: 1 / (σ̄ √8), (D,).
        index: of the distributions in these coordinates.
    """

    gaussians: Gaussian
    scale: Tensor
    index: Neighbours

    @classmethod
    def of(cls, gaussians: Gaussian) -> Self:
        """Build the index of distributions (M, D); raises as `Neighbours.of`."""
        scale = (8 * gaussians[1].exp().mean(0)).rsqrt()
        return cls(gaussians, scale, Neighbours.of(_coordinates(gaussians, scale)))

    def nearest(self, q: Gaussian, candidates: int) -> Tensor:
        """Return min_y D_B(q, y) over so many candidates for distributions (B, D): (B,), nats.

        With as many candidates as distributions, it is the exact minimum.
        """
        if candidates >= len(self.index):
            pairs = [bhattacharyya((q[0][:, None], q[1][:, None]), y) for y in _split(self.gaussians, 64)]
            return torch.cat([d.amin(1, keepdim=True) for d in pairs], 1).amin(1)
        _, numbers = self.index.nearest(_coordinates(q, self.scale), candidates)
        best = q[0].new_full((len(q[0]),), torch.inf)
        for column in numbers.split(8, 1):  # few at once, to bound the memory
            y = self.gaussians[0][column], self.gaussians[1][column]
            best = torch.minimum(best, bhattacharyya((q[0][:, None], q[1][:, None]), y).amin(1))
        return best


def _coordinates(gaussians: Gaussian, scale: Tensor) -> Tensor:
    return torch.cat([gaussians[0] * scale, gaussians[1] / 4], 1)


def _split(gaussians: Gaussian, size: int) -> list[Gaussian]:
    return list(zip(gaussians[0].split(size), gaussians[1].split(size), strict=True))
