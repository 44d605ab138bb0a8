"""Findings: connected components above a threshold, the largest sum of scores first, after an optional clean-up.

The clean-up is that of Baur et al. 2018: a 5×5×5 median of the score, an eroded brain mask, and a smallest size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST = 10  # voxels of the grid; smaller components are not counted
MEDIAN = 5  # voxels, side of the median's cube
NEIGHBOURS = np.ones((3, 3, 3))  # 26

Box = tuple[slice, slice, slice]


class Component(NamedTuple):
    """A connected component on the grid.

    Attributes:
        voxels: number of voxels.
        peak, mass: its highest score, and the sum of its scores.
        box: its bounding box on the grid (n, H, W).
        inside: bool, its voxels within the box.
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
        """Say whether it contains a voxel of the grid."""
        within = tuple(p - side.start for p, side in zip(place, self.box, strict=True))
        fits = all(0 <= w < size for w, size in zip(within, self.inside.shape, strict=True))
        return fits and bool(self.inside[within])

    @property
    def indices(self) -> NDArray[np.intp]:
        """Grid indices of its voxels, (voxels, 3)."""
        return np.argwhere(self.inside) + [side.start for side in self.box]

    @property
    def medoid(self) -> NDArray[np.intp]:
        """Grid index of its voxel nearest to its centroid, (3,)."""
        indices = self.indices
        return indices[((indices - indices.mean(0)) ** 2).sum(1).argmin()]


def clean(score: NDArray, mask: NDArray, median: bool = False, erode: float = 0.0) -> NDArray:
    """Clean up a score (n, H, W): an optional median filter, and zero at the rim of the mask.

    Args:
        score: (n, H, W).
        mask: bool (n, H, W).
        median: replace each voxel by the median of the cube around it.
        erode: depth of the mask's rim, in voxels; the edge of the grid is not a rim.
    """
    smooth = ndimage.median_filter(score, MEDIAN, mode="nearest") if median else score
    if not erode:
        return smooth
    depth = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1, 1:-1]
    return np.where(depth > erode, smooth, 0).astype(score.dtype)


def count(flagged: NDArray, least: int = LEAST) -> int:
    """Count the connected components (26 neighbours) of at least `least` voxels."""
    pieces, _ = ndimage.label(flagged, NEIGHBOURS)
    return int((np.bincount(pieces.ravel())[1:] >= least).sum())


def large(flagged: NDArray, least: int = LEAST) -> NDArray[np.bool_]:
    """Remove components of fewer than `least` voxels; bool (n, H, W)."""
    pieces, _ = ndimage.label(flagged, NEIGHBOURS)
    keep = np.bincount(pieces.ravel()) >= least
    keep[0] = False
    return keep[pieces]


def within(flagged: NDArray, brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Remove components that lie mostly outside a brain, bool (n, H, W); returns bool (n, H, W)."""
    pieces, n = ndimage.label(flagged, NEIGHBOURS)
    share = ndimage.mean(brain, pieces, np.arange(n + 1))
    keep = np.asarray(share) >= 0.5
    keep[0] = False
    return keep[pieces]


def find(score: NDArray, threshold: float, least: int = LEAST) -> list[Component]:
    """Find the components of a score (n, H, W) above a threshold, the largest sum of scores first."""
    return components_of(score > threshold, score, least)


def components_of(flagged: NDArray, score: NDArray, least: int = LEAST) -> list[Component]:
    """Find the components of a mask, bool (n, H, W), the largest sum of scores first."""
    return sorted(_pieces(flagged, score, least), key=lambda piece: -piece.mass)


def _pieces(flagged: NDArray, score: NDArray, least: int) -> Iterator[Component]:
    # Work within bounding boxes: with thousands of components, a pass over the whole grid for each would take minutes.
    numbers, _ = ndimage.label(flagged, NEIGHBOURS)
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        inside = numbers[box] == number
        voxels = int(inside.sum())
        if voxels >= least:
            values = score[box][inside]
            yield Component(voxels, float(values.max()), float(values.sum(dtype=float)), box, inside)
