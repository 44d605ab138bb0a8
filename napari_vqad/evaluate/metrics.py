"""AUROC, average precision, best Dice and what a threshold does, exact with ties, and sharpness, in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Ranking:
    """How well scores put positives above negatives; NaN where there is none of either.

    Attributes:
        auroc: probability that a positive has a higher score than a negative, ties counting half.
        ap: average precision, Σ (recall_n − recall_{n−1})·precision_n over falling thresholds.
        dice: best 2·TP / (flagged + positives) over all thresholds. The threshold is chosen on the very data it is
            measured on, so this is an upper bound and no performance to expect.
    """

    auroc: float
    ap: float
    dice: float


def rank(scores: ArrayLike, labels: ArrayLike) -> Ranking:
    """Scores and boolean labels of one length → their `Ranking`."""
    scores, labels = np.asarray(scores).ravel(), np.asarray(labels, bool).ravel()
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return Ranking(np.nan, np.nan, np.nan)
    _, true, flagged = _counts(scores, labels)
    false = flagged - true
    tpr, fpr = np.append(0, true / positives), np.append(0, false / negatives)
    auroc = float(np.trapezoid(tpr, fpr))
    ap = float(np.sum(np.diff(tpr) * true / flagged))
    return Ranking(auroc, ap, float(np.max(2 * true / (flagged + positives))))


def auroc_interval(cases: Sequence[tuple[ArrayLike, ArrayLike]], n: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the AUROC over cases, each a pair of scores and boolean labels.

    Whole cases are drawn anew, since neighbouring frames or slices are nearly the same picture: those with a positive
    and those without one, each as often as there are. NaN where there is none of either.
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
    """The distinct scores, falling; at each, how many positives and how many of all have at least that score."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # Equal scores are one threshold: counts are taken at the last of each run.
    last = np.append(np.flatnonzero(np.diff(ranked)), len(scores) - 1)
    return ranked[last], np.cumsum(labels[order])[last].astype(float), last + 1.0


@dataclass(frozen=True)
class AtThreshold:
    """What a fixed threshold does.

    Attributes:
        threshold: scores above it are flagged.
        f1: 2·TP / (flagged + positives).
        balanced: (sensitivity + specificity) / 2; its best over thresholds is what Ishii 2023 prints as "AUC".
        macro: mean of the F1 of positives and that of negatives; what his code prints as F1.
    """

    threshold: float
    f1: float
    balanced: float
    macro: float


def at_threshold(scores: ArrayLike, labels: ArrayLike, threshold: float) -> AtThreshold:
    """Scores and boolean labels of one length, flagged where the score exceeds `threshold`."""
    flagged, labels = np.asarray(scores).ravel() > threshold, np.asarray(labels, bool).ravel()
    hits, positives, negatives = int((flagged & labels).sum()), int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return AtThreshold(threshold, np.nan, np.nan, np.nan)
    spared, n_flagged = int((~flagged & ~labels).sum()), int(flagged.sum())
    f1, other = 2 * hits / (n_flagged + positives), 2 * spared / (len(labels) - n_flagged + negatives)
    return AtThreshold(threshold, f1, 0.5 * (hits / positives + spared / negatives), 0.5 * (f1 + other))


def at_best(scores: ArrayLike, labels: ArrayLike) -> AtThreshold:
    """At the threshold of the best balanced accuracy: chosen on the very data that it is measured on (Ishii 2023)."""
    scores, labels = np.asarray(scores).ravel(), np.asarray(labels, bool).ravel()
    if labels.all() or not labels.any():
        return at_threshold(scores, labels, np.nan)
    values, true, flagged = _counts(scores, labels)
    balanced = true / labels.sum() - (flagged - true) / (~labels).sum()
    # Flagged is what exceeds the threshold, so it lies at the next lower score.
    return at_threshold(scores, labels, float(np.append(values[1:], -np.inf)[balanced.argmax()]))


def gradient_energy(slices: ArrayLike, mask: ArrayLike) -> float:
    """Mean |∇Y|² over (n, H, W), forward differences of pixels that lie within bool (n, H, W) with both neighbours."""
    y, inside = np.asarray(slices, float), np.asarray(mask, bool)
    down, right = y[:, 1:, :-1] - y[:, :-1, :-1], y[:, :-1, 1:] - y[:, :-1, :-1]
    counted = inside[:, :-1, :-1] & inside[:, 1:, :-1] & inside[:, :-1, 1:]
    return float((down**2 + right**2)[counted].mean())
