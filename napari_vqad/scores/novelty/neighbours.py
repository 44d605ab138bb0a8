"""Nearest neighbours of vectors and of normal distributions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from napari_vqad.scores.novelty.gaussians import Gaussian, bhattacharyya

AT_ONCE = 8192  # vectors that are compared with points in one product
FEW = 20_000  # vectors up to which products are always quick
PROBES = (16, 256)  # points on which the tree and the products are timed


class Neighbours:
    """An index of vectors (M, D), in which the nearest ones to a point are found, exactly.

    A k-d tree is up to 200 times as quick as products of matrices for codes and reconstructions, which vary in few
    directions, and 16 times as slow for noisy measurements. So both are timed on a few points, for each kind of points,
    and the quicker one is taken; both find the same neighbours. hnswlib took 50 times as long as the tree to build,
    and faiss was not quicker than the tree or the products; a million vectors of 8 to 46 numbers were measured.

    Args:
        vectors: (M, D).

    Raises:
        ValueError: there are no vectors, or a number is not finite.
    """

    def __init__(self, vectors: Tensor) -> None:
        if not len(vectors) or not bool(vectors.isfinite().all()):
            raise ValueError("an index needs a vector, and finite numbers")
        self._centre = vectors.detach().mean(0)  # products lose digits far from 0
        self._vectors = vectors.detach() - self._centre
        self._half = 0.5 * (self._vectors**2).sum(1)
        self._tree_wins: dict[tuple[str, int], bool] = {}

    def __len__(self) -> int:
        return len(self._vectors)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self._vectors.cpu().numpy(), balanced_tree=False, compact_nodes=False)

    def nearest(self, points: Tensor, k: int = 1, of: str = "") -> tuple[Tensor, Tensor]:
        """Return Euclidean distances and numbers of the k nearest vectors to points (B, D): (B, k) each.

        There are fewer than k if there are fewer vectors. `of` names the kind of points, such as "inputs".
        """
        x, k = points.detach() - self._centre, min(k, len(self))
        if len(self) > FEW and (of, k) not in self._tree_wins and len(x) >= max(PROBES):
            ways, counts = (self._by_tree, self._by_products), PROBES
            _ = self._tree  # built before it is timed
            seconds = [_seconds(way, x[:n], k) / n for way, n in zip(ways, counts, strict=True)]
            self._tree_wins[of, k] = seconds[0] < seconds[1]
        return (self._by_tree if self._tree_wins.get((of, k)) else self._by_products)(x, k)

    def _by_tree(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        distances, numbers = self._tree.query(x.cpu().numpy(), k=range(1, k + 1), workers=torch.get_num_threads())
        return torch.from_numpy(distances).to(x), torch.from_numpy(numbers).to(x.device)

    def _by_products(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """½ ‖x − y‖² = ½ ‖x‖² − x·y + ½ ‖y‖², from which the nearest are chosen; their distances are then exact."""
        closeness, numbers = [], []
        for start in range(0, len(self), AT_ONCE):
            y = self._vectors[start : start + AT_ONCE]
            best = torch.addmm(self._half[start : start + AT_ONCE], x, y.T, beta=-1).topk(min(k, len(y)), 1)
            closeness.append(best.values)
            numbers.append(best.indices + start)
        chosen = torch.cat(closeness, 1).topk(k, 1).indices
        nearest = torch.cat(numbers, 1).gather(1, chosen)
        distances = torch.stack([(x - self._vectors[column]).norm(dim=1) for column in nearest.T], 1)
        distances, order = distances.sort(1)
        return distances, nearest.gather(1, order)


def _seconds(way: Callable[[Tensor, int], tuple[Tensor, Tensor]], x: Tensor, k: int) -> float:
    started = time.perf_counter()
    way(x, k)[0].sum().item()  # waits for a GPU
    return time.perf_counter() - started


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
        """Build the index of distributions (M, D); raises as `Neighbours`."""
        scale = (8 * gaussians[1].exp().mean(0)).rsqrt()
        return cls(gaussians, scale, Neighbours(_coordinates(gaussians, scale)))

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
