"""Findings: connected pieces of what exceeds a threshold, the weightiest first, after an optional clean-up.

The clean-up chain is that of Baur et al. 2018: a 5×5×5 median of the score, an eroded brain mask, a smallest size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST = 10  # voxels of the grid; smaller pieces are not counted
MEDIAN = 5  # voxels, side of the median's cube
NEIGHBOURS = np.ones((3, 3, 3))  # 26

Box = tuple[slice, slice, slice]


class Component(NamedTuple):
    """A piece of the grid.

    Attributes:
        voxels: how many.
        peak, mass: its highest score, and the sum of its scores.
        box: the smallest box of the grid (n, H, W) that holds it.
        inside: bool, of the shape of the box: its voxels.
    """

    voxels: int
    peak: float
    mass: float
    box: Box
    inside: NDArray[np.bool_]

    @property
    def mean(self) -> float:
        """Mean score."""
        return self.mass / self.voxels

    def holds(self, place: tuple[int, int, int]) -> bool:
        """Is a voxel of the grid one of its?"""
        within = tuple(p - side.start for p, side in zip(place, self.box, strict=True))
        fits = all(0 <= w < size for w, size in zip(within, self.inside.shape, strict=True))
        return fits and bool(self.inside[within])

    @property
    def indices(self) -> NDArray[np.intp]:
        """(voxels, 3), where on the grid."""
        return np.argwhere(self.inside) + [side.start for side in self.box]

    @property
    def medoid(self) -> NDArray[np.intp]:
        """Where on the grid that of its voxels is that lies nearest to its centroid."""
        indices = self.indices
        return indices[((indices - indices.mean(0)) ** 2).sum(1).argmin()]


def clean(score: NDArray, mask: NDArray, median: bool = False, erode: float = 0.0) -> NDArray:
    """The score (n, H, W) without what is thin, or lies at the rim of bool mask (n, H, W), where it becomes zero.

    Args:
        median: replace each voxel by the median of the cube around it.
        erode: how deep the mask's rim is taken off, in voxels; where the grid ends, and not the mask, there is no rim.
    """
    smooth = ndimage.median_filter(score, MEDIAN, mode="nearest") if median else score
    if not erode:
        return smooth
    depth = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1, 1:-1]
    return np.where(depth > erode, smooth, 0).astype(score.dtype)


def count(flagged: NDArray, least: int = LEAST) -> int:
    """Connected pieces (26 neighbours) of at least `least` voxels."""
    pieces, _ = ndimage.label(flagged, NEIGHBOURS)
    return int((np.bincount(pieces.ravel())[1:] >= least).sum())


def large(flagged: NDArray, least: int = LEAST) -> NDArray[np.bool_]:
    """bool (n, H, W): what is flagged, without pieces of fewer than `least` voxels."""
    pieces, _ = ndimage.label(flagged, NEIGHBOURS)
    keep = np.bincount(pieces.ravel()) >= least
    keep[0] = False
    return keep[pieces]


def within(flagged: NDArray, brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool (n, H, W): what is flagged, without pieces that lie mostly outside of a brain, bool (n, H, W)."""
    pieces, n = ndimage.label(flagged, NEIGHBOURS)
    share = ndimage.mean(brain, pieces, np.arange(n + 1))
    keep = np.asarray(share) >= 0.5
    keep[0] = False
    return keep[pieces]


def find(score: NDArray, threshold: float, least: int = LEAST) -> list[Component]:
    """The pieces above a threshold, those with the most score first: (n, H, W) → pieces."""
    return components_of(score > threshold, score, least)


def components_of(flagged: NDArray, score: NDArray, least: int = LEAST) -> list[Component]:
    """The pieces of bool (n, H, W), those with the most score first."""
    return sorted(_pieces(flagged, score, least), key=lambda piece: -piece.mass)


def _pieces(flagged: NDArray, score: NDArray, least: int) -> Iterator[Component]:
    # Each in its own box: with thousands of pieces a pass over the whole grid for each would take minutes.
    numbers, _ = ndimage.label(flagged, NEIGHBOURS)
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        inside = numbers[box] == number
        voxels = int(inside.sum())
        if voxels >= least:
            values = score[box][inside]
            yield Component(voxels, float(values.max()), float(values.sum(dtype=float)), box, inside)
