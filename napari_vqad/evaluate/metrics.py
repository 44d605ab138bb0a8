"""AUROC, average precision, Dice, F1 and balanced accuracy, exact with ties, and gradient energy, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Ranking:
    """How well scores rank positives above negatives; NaN if there are no positives, no negatives or no scores.

    Attributes:
        auroc: probability that a positive has a higher score than a negative; ties count half.
        ap: average precision, Σ (recall_n − recall_{n−1})·precision_n over falling thresholds.
        dice: best 2·TP / (flagged + positives) over all thresholds. The threshold is chosen on the same data, so this
            is an upper bound, not an expected performance.
    """

    auroc: float
    ap: float
    dice: float


def rank(scores: ArrayLike, labels: ArrayLike) -> Ranking:
    """Compute the `Ranking` of scores and boolean labels of the same length; a score that is NaN means no scores."""
    scores, labels = np.asarray(scores).ravel(), np.asarray(labels, bool).ravel()
    if np.isnan(scores).any() or not len(scores):
        return Ranking(np.nan, np.nan, np.nan)
    _, true, flagged = _counts(scores, labels)
    return rank_counts(true, flagged)


def rank_counts(true: NDArray, flagged: NDArray) -> Ranking:
    """Compute the `Ranking` of the numbers of positives and of all items at or above each threshold, (T,) each.

    Thresholds fall, and the last includes all items.
    """
    if not len(true) or not true[-1] or flagged[-1] == true[-1]:
        return Ranking(np.nan, np.nan, np.nan)
    positives, negatives = true[-1], flagged[-1] - true[-1]
    tpr, fpr = np.append(0, true / positives), np.append(0, (flagged - true) / negatives)
    ap = float(np.sum(np.diff(tpr) * true / flagged))
    return Ranking(float(np.trapezoid(tpr, fpr)), ap, float(np.max(2 * true / (flagged + positives))))


def area_under_overlap(fpr: NDArray, overlap: NDArray, limit: float = 0.3) -> float:
    """Compute AUPRO, the area under the per-region overlap up to a false-positive rate, divided by that rate.

    The per-region overlap is the mean, over the connected components of the labels, of the share of a component that
    is flagged; small lesions count as much as large ones (Bergmann et al., The MVTec Anomaly Detection Dataset,
    International Journal of Computer Vision 129, 2021).

    Args:
        fpr, overlap: rates at falling thresholds, (T,) each, without the point (0, 0).
        limit: the largest false-positive rate; the paper uses 0.3.

    Returns:
        0 to 1; NaN without values.
    """
    if not len(fpr) or np.isnan(fpr).any() or np.isnan(overlap).any():
        return np.nan
    x, y = np.append(0.0, fpr), np.append(0.0, overlap)
    end = int(np.searchsorted(x, limit))  # the first point at or beyond the limit; x ends at 1
    at_limit = y[end - 1] + (y[end] - y[end - 1]) * (limit - x[end - 1]) / (x[end] - x[end - 1])
    return float(np.trapezoid(np.append(y[:end], at_limit), np.append(x[:end], limit)) / limit)


def auroc_interval(cases: Sequence[tuple[ArrayLike, ArrayLike]], n: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Compute the 95 % bootstrap interval of the AUROC over cases, each a pair of scores and boolean labels.

    Whole cases are resampled, because neighbouring slices or frames are nearly identical. Cases with and without a
    positive are resampled separately, so that their numbers stay the same. The interval is NaN if there are no
    positives or no negatives.
    """
    pairs = [(np.asarray(s).ravel(), np.asarray(a, bool).ravel()) for s, a in cases]
    with_, without = ([p for p in pairs if p[1].any() == positive] for positive in (True, False))
    if not with_ or not (without or any((~a).any() for _, a in with_)):
        return np.nan, np.nan
    rng, found = np.random.default_rng(seed), []
    for _ in range(n):
        drawn = [group[i] for group in (with_, without) if group for i in rng.integers(len(group), size=len(group))]
        found.append(rank(np.concatenate([s for s, _ in drawn]), np.concatenate([a for _, a in drawn])).auroc)
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return float(low), float(high)


def _counts(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the distinct scores, falling, and for each the numbers of positives and of all items that reach it."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # Equal scores are one threshold, so counts are taken at the last of them.
    last = np.append(np.flatnonzero(np.diff(ranked)), len(scores) - 1)
    return ranked[last], np.cumsum(labels[order])[last].astype(float), last + 1.0


@dataclass(frozen=True)
class AtThreshold:
    """Metrics at a fixed threshold; NaN if there are no positives or no negatives.

    Attributes:
        threshold: scores above it are flagged.
        f1: 2·TP / (flagged + positives).
        balanced: balanced accuracy, (sensitivity + specificity) / 2. Ishii 2023 reports its maximum over thresholds as
            "AUC".
        macro: mean of the F1 of positives and the F1 of negatives. The code of Ishii 2023 reports it as F1.
    """

    threshold: float
    f1: float
    balanced: float
    macro: float


def at_threshold(scores: ArrayLike, labels: ArrayLike, threshold: float) -> AtThreshold:
    """Compute metrics of scores and boolean labels of the same length; scores above `threshold` are flagged."""
    flagged, labels = np.asarray(scores).ravel() > threshold, np.asarray(labels, bool).ravel()
    hits, positives, negatives = int((flagged & labels).sum()), int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return AtThreshold(threshold, np.nan, np.nan, np.nan)
    spared, n_flagged = int((~flagged & ~labels).sum()), int(flagged.sum())
    f1, other = 2 * hits / (n_flagged + positives), 2 * spared / (len(labels) - n_flagged + negatives)
    return AtThreshold(threshold, f1, 0.5 * (hits / positives + spared / negatives), 0.5 * (f1 + other))


def at_best(scores: ArrayLike, labels: ArrayLike) -> AtThreshold:
    """Compute metrics at the threshold with the best balanced accuracy on the same data (Ishii 2023)."""
    scores, labels = np.asarray(scores).ravel(), np.asarray(labels, bool).ravel()
    if labels.all() or not labels.any():
        return at_threshold(scores, labels, np.nan)
    if np.isnan(scores).any():
        return AtThreshold(np.nan, np.nan, np.nan, np.nan)
    values, true, flagged = _counts(scores, labels)
    balanced = true / labels.sum() - (flagged - true) / (~labels).sum()
    # Scores above the threshold are flagged, so the threshold is the next lower score.
    return at_threshold(scores, labels, float(np.append(values[1:], -np.inf)[balanced.argmax()]))


def in_table(value: float, digits: int = 2) -> str:
    """Write a metric for a cell of a table; a dash if it is NaN."""
    return "–" if np.isnan(value) else f"{value:.{digits}f}"


def gradient_energy(slices: ArrayLike, mask: ArrayLike) -> float:
    """Compute the mean |∇Y|² of slices (n, H, W), by forward differences.

    A pixel is counted if it and the two neighbours of the differences lie in the mask, bool (n, H, W).
    """
    y, inside = np.asarray(slices, float), np.asarray(mask, bool)
    down, right = y[:, 1:, :-1] - y[:, :-1, :-1], y[:, :-1, 1:] - y[:, :-1, :-1]
    counted = inside[:, :-1, :-1] & inside[:, 1:, :-1] & inside[:, :-1, 1:]
    return float((down**2 + right**2)[counted].mean())
