"""ROC and precision-recall curves from counts, and what is flagged at one threshold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_vqad.evaluate.metrics import Ranking, area_under_overlap, rank_counts
from napari_vqad.tuning.binned import ScoreCounts, lowest, threshold_bin


class AtThreshold(NamedTuple):
    """Rates of the items with scores above a threshold; NaN where a rate has no items.

    Attributes:
        sensitivity: share of the positives that is flagged (recall).
        fpr: share of the negatives that is flagged.
        precision: share of the flagged items that is positive.
        dice: 2·TP / (flagged + positives).
    """

    sensitivity: float
    fpr: float
    precision: float
    dice: float


@dataclass(frozen=True, eq=False)
class Curves:
    """Rates at all thresholds, which fall; the point without flagged items is not included.

    Attributes:
        values: the lowest score that is flagged at each threshold, (T,), falling.
        true, flagged: numbers of positives and of all items with at least this score, (T,).
        overlap: mean share of a region that is flagged, (T,); NaN if regions are not known.
        binned: are `values` rounded scores?
    """

    values: NDArray
    true: NDArray
    flagged: NDArray
    overlap: NDArray
    binned: bool

    @classmethod
    def of_counts(cls, counts: ScoreCounts) -> Curves:
        """Compute the curves of rounded scores."""
        true = np.cumsum(counts.positives[::-1])
        flagged = true + np.cumsum(counts.negatives[::-1])
        overlap = np.cumsum(counts.overlap[::-1]) / counts.regions if counts.regions else np.full(len(true), np.nan)
        return cls(lowest(counts.bins[::-1]), true, flagged, overlap, True)

    @classmethod
    def of_scores(cls, scores: ArrayLike, labels: ArrayLike) -> Curves:
        """Compute the exact curves of scores and boolean labels, (N,)."""
        scores, labels = np.asarray(scores, float), np.asarray(labels, bool)
        values, which = np.unique(scores, return_inverse=True)
        true, flagged = (np.cumsum(np.bincount(w, minlength=len(values))[::-1]) for w in (which[labels], which))
        return cls(values[::-1], true, flagged, np.full(len(values), np.nan), False)

    @property
    def known(self) -> bool:
        """Are there positives and negatives?"""
        return bool(len(self.true)) and 0 < self.true[-1] < self.flagged[-1]

    @property
    def ranking(self) -> Ranking:
        """AUROC, average precision and best Dice; NaN without positives or without negatives."""
        return rank_counts(self.true, self.flagged)

    @property
    def aupro(self) -> float:
        """Area under the per-region overlap; see `metrics.area_under_overlap`."""
        return area_under_overlap(self.fpr, self.overlap) if self.known else np.nan

    @property
    def best(self) -> float:
        """The threshold with the best Dice, the highest if several are equal; NaN if Dice is not known."""
        return float(self.thresholds[self.dice.argmax()]) if self.known else np.nan

    @cached_property
    def thresholds(self) -> NDArray:
        """Scores above these are those that are counted, (T,); the type is that of the scores."""
        return np.nextafter(self.values, self.values.dtype.type(-np.inf))

    @cached_property
    def sensitivity(self) -> NDArray:
        """Share of the positives that is flagged, (T,)."""
        return self.true / max(self.true[-1], 1)

    @cached_property
    def fpr(self) -> NDArray:
        """Share of the negatives that is flagged, (T,)."""
        return (self.flagged - self.true) / max(self.flagged[-1] - self.true[-1], 1)

    @cached_property
    def precision(self) -> NDArray:
        """Share of the flagged items that is positive, (T,)."""
        return self.true / self.flagged

    @cached_property
    def dice(self) -> NDArray:
        """2·TP / (flagged + positives), (T,)."""
        return 2 * self.true / (self.flagged + self.true[-1])

    def at(self, threshold: float) -> AtThreshold:
        """Return the rates of scores above a threshold, which is rounded down if the scores are."""
        if not self.known:
            return AtThreshold(np.nan, np.nan, np.nan, np.nan)
        limit = float(lowest(threshold_bin(threshold))) if self.binned else threshold
        i = int((self.values > limit).sum()) - 1
        if i < 0:
            return AtThreshold(0.0, 0.0, np.nan, 0.0)
        return AtThreshold(*(float(rate[i]) for rate in (self.sensitivity, self.fpr, self.precision, self.dice)))
