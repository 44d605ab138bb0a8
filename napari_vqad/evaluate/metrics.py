"""AUROC, average precision and best Dice, exact with ties, and sharpness, in NumPy."""

from __future__ import annotations

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
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    # Equal scores are one threshold: counts are taken at the last of each run.
    last = np.append(np.flatnonzero(np.diff(sorted_scores)), len(scores) - 1)
    true = np.cumsum(labels[order])[last].astype(float)
    flagged = last + 1.0
    false = flagged - true

    tpr, fpr = np.append(0, true / positives), np.append(0, false / negatives)
    auroc = float(np.trapezoid(tpr, fpr))
    ap = float(np.sum(np.diff(tpr) * true / flagged))
    return Ranking(auroc, ap, float(np.max(2 * true / (flagged + positives))))


@dataclass(frozen=True)
class AtThreshold:
    """What a fixed threshold does.

    Attributes:
        threshold: scores above it are flagged.
        f1: 2·TP / (flagged + positives).
        balanced: (sensitivity + specificity) / 2; its best over thresholds is what Ishii 2023 prints as "AUC".
    """

    threshold: float
    f1: float
    balanced: float


def at_threshold(scores: ArrayLike, labels: ArrayLike, threshold: float) -> AtThreshold:
    """Scores and boolean labels of one length, flagged where the score exceeds `threshold`."""
    flagged, labels = np.asarray(scores).ravel() > threshold, np.asarray(labels, bool).ravel()
    hits, positives, negatives = int((flagged & labels).sum()), int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return AtThreshold(threshold, np.nan, np.nan)
    specificity = int((~flagged & ~labels).sum()) / negatives
    return AtThreshold(threshold, 2 * hits / (int(flagged.sum()) + positives), 0.5 * (hits / positives + specificity))


def gradient_energy(slices: ArrayLike, mask: ArrayLike) -> float:
    """Mean |∇Y|² over (n, H, W), forward differences of pixels that lie within bool (n, H, W) with both neighbours."""
    y, inside = np.asarray(slices, float), np.asarray(mask, bool)
    down, right = y[:, 1:, :-1] - y[:, :-1, :-1], y[:, :-1, 1:] - y[:, :-1, :-1]
    counted = inside[:, :-1, :-1] & inside[:, 1:, :-1] & inside[:, :-1, 1:]
    return float((down**2 + right**2)[counted].mean())
