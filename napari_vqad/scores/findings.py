"""Findings: connected pieces of what exceeds a threshold, the weightiest first."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LEAST = 10  # voxels of the grid; smaller pieces are not counted


class Finding(NamedTuple):
    """A piece of the grid: how many voxels, its highest score, the sum of its scores, and where, bool (n, H, W)."""

    voxels: int
    peak: float
    mass: float
    where: NDArray


def count(flagged: NDArray, least: int = LEAST) -> int:
    """Connected pieces (26 neighbours) of at least `least` voxels."""
    pieces, _ = ndimage.label(flagged, np.ones((3, 3, 3)))
    return int((np.bincount(pieces.ravel())[1:] >= least).sum())


def find(score: NDArray, threshold: float, least: int = LEAST) -> list[Finding]:
    """The pieces above a threshold, those with the most score first: (n, H, W) → findings."""
    pieces, n = ndimage.label(score > threshold, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel(), minlength=n + 1)
    found = []
    for number in np.flatnonzero(sizes[1:] >= least) + 1:
        where = pieces == number
        inside = score[where]
        found.append(Finding(int(sizes[number]), float(inside.max()), float(inside.sum()), where))
    return sorted(found, key=lambda f: -f.mass)
