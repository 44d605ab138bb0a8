"""Counts of labelled and other voxels by their score, so that memory does not grow with the number of voxels.

A score, a 32-bit float, is rounded down to 10 bits of mantissa, which keeps its first three digits: bins are at most
0.1 % of the score wide, and the same for all scans, models and settings. Nothing else is lost: every figure computed
from the counts equals the exact figure of the rounded scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

DROPPED = 13  # of the 23 bits of a float32's mantissa
SIGN = np.int32(-(2**31))  # the bits of −0.0
LIMIT = 2 ** (32 - DROPPED)  # there are no more bins than this


def bins_of(scores: ArrayLike) -> NDArray[np.int32]:
    """Return the bin of each score, converted to float32; bins increase with the score.

    Raises:
        ValueError: a score is NaN.
    """
    values = np.asarray(scores, np.float32, order="C")
    if np.isnan(values).any():
        raise ValueError("A score is not a number.")
    bits = values.view(np.int32)
    # The bits of positive floats increase with the float, those of negative floats decrease.
    return np.where(bits >= 0, bits, SIGN - np.minimum(bits, 0)) >> DROPPED


def lowest(bins: ArrayLike) -> NDArray[np.float32]:
    """Return the lowest score of each bin, which is what its scores are rounded to."""
    bits = np.asarray(bins, np.int32) << DROPPED
    return np.where(bits >= 0, bits, SIGN - np.minimum(bits, 0)).astype(np.int32).view(np.float32)


def threshold_bin(threshold: float) -> int:
    """Return the bin of a threshold; scores in higher bins are above it."""
    return int(bins_of(threshold))


@dataclass(frozen=True, eq=False)
class ScoreCounts:
    """Counts by score, of bins that are not empty; counts of several scans can be added.

    Attributes:
        bins: increasing, int32 (B,); B is at most `LIMIT`.
        positives, negatives: numbers of labelled and of other voxels in each bin, int64 (B,).
        overlap: Σ over the labelled voxels in each bin of 1 / size of their region, (B,). A region is a connected
            component of the labels.
        regions: number of regions.
    """

    bins: NDArray[np.int32]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    overlap: NDArray[np.float64]
    regions: int

    @classmethod
    def of(cls, scores: ArrayLike, labels: ArrayLike, regions: ArrayLike) -> ScoreCounts:
        """Count scores.

        Args:
            scores: (N,), finite or infinite.
            labels: bool (N,).
            regions: number, from 1, of the region of each labelled voxel, int (positives,), in the order of `scores`.

        Raises:
            ValueError: a score is NaN.
        """
        labels, regions = np.asarray(labels, bool), np.asarray(regions, int)
        everything = bins_of(scores)
        if not len(everything):
            none = np.zeros(0, np.int64)
            return cls(everything, none, none, np.zeros(0), 0)
        first = int(everything.min())
        shifted = everything - first
        size = int(shifted.max()) + 1
        of_positives = shifted[labels]
        total, positives = np.bincount(shifted, minlength=size), np.bincount(of_positives, minlength=size)
        sizes = np.bincount(regions)
        overlap = np.bincount(of_positives, 1.0 / sizes[regions], minlength=size).astype(float)
        full = np.flatnonzero(total)
        counted = (full + first).astype(np.int32)
        number = int((sizes[1:] > 0).sum())
        return cls(counted, positives[full], (total - positives)[full], overlap[full], number)

    def __add__(self, other: ScoreCounts) -> ScoreCounts:
        """Count the voxels of both."""
        bins = np.union1d(self.bins, other.bins)
        at, other_at = np.searchsorted(bins, self.bins), np.searchsorted(bins, other.bins)

        def total(mine: NDArray, others: NDArray) -> NDArray:
            found = np.zeros(len(bins), mine.dtype)
            found[at] += mine
            found[other_at] += others
            return found

        positives, negatives = total(self.positives, other.positives), total(self.negatives, other.negatives)
        overlap = total(self.overlap, other.overlap)
        return ScoreCounts(bins, positives, negatives, overlap, self.regions + other.regions)


def added(counts: list[ScoreCounts]) -> ScoreCounts:
    """Add the counts of several scans; no scans have no voxels."""
    return reduce(ScoreCounts.__add__, counts, ScoreCounts.of([], [], []))
