"""Bootstrap over subjects: measures of resampled people, the same people for all detectors, so differences are paired.

A round draws as many subjects as there are, with replacement; w[r, s] says how often round r drew subject s. Counts of
a round are Σ_s w[r, s]·count[s], so scores are binned once and not ranked again in every round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.evaluate.experiment import Pair

ROUNDS = 1000
BINS = 4000  # at most, of positive scores and of all scores; with fewer distinct scores nothing is lost


class Ranked(NamedTuple):
    """AUROC, average precision and best Dice (`metrics.Ranking`) of each round, (R,) each; NaN where undefined."""

    auroc: NDArray
    ap: NDArray
    dice: NDArray


def draws(n: int, rounds: int = ROUNDS, seed: int = 0) -> NDArray:
    """Draw w, (R, n): how often each round draws each of n subjects."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), rounds).astype(float)


def ranked(by_subject: Mapping[str, Sequence[Pair]], weights: NDArray) -> Ranked:
    """Rank the scores of all cases of the subjects that each round drew.

    Args:
        by_subject: subject → scores and boolean labels of each of its cases; in the order of the weights.
        weights: w, (R, subjects).
    """
    if any(np.isnan(scores).any() for cases in by_subject.values() for scores, _ in cases):
        return Ranked(*np.full((3, len(weights)), np.nan))
    joined = [tuple(np.concatenate(part) for part in zip(*cases, strict=True)) for cases in by_subject.values()]
    edges = _edges([scores for scores, _ in joined], [scores[labels] for scores, labels in joined])
    n = len(edges) + 1
    counts = np.zeros((2, len(joined), n))
    for s, (scores, labels) in enumerate(joined):
        bins = np.searchsorted(edges, scores, side="right")
        for positive in (0, 1):
            counts[positive, s] = np.bincount(bins[labels == positive], minlength=n)
    # Thresholds fall from the highest bin: true and false are those at or above each.
    false, true = (np.cumsum((weights @ of_kind)[:, ::-1], 1) for of_kind in counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        positives, negatives = true[:, -1:], false[:, -1:]
        zero = np.zeros((len(weights), 1))
        recall, fallout = (np.hstack([zero, part]) for part in (true / positives, false / negatives))
        precision = true / np.maximum(true + false, 1)
        found = (
            np.trapezoid(recall, fallout, axis=1),
            (np.diff(recall, axis=1) * precision).sum(1),
            (2 * true / (true + false + positives)).max(1),
        )
    defined = ((positives > 0) & (negatives > 0))[:, 0]
    return Ranked(*(np.where(defined, values, np.nan) for values in found))


def ratio(above: NDArray, below: NDArray, weights: NDArray) -> NDArray:
    """Compute Σ above / Σ below over the subjects of each round, (R,): a mean, if `below` counts; NaN where it is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ above) / (weights @ below)


def interval(values: NDArray) -> tuple[float, float]:
    """Compute the 2.5th and 97.5th percentile of a measure over the rounds; NaN if it is defined in none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return np.nan, np.nan
    low, high = np.percentile(known, [2.5, 97.5])
    return float(low), float(high)


def _edges(scores: Sequence[NDArray], positive: Sequence[NDArray]) -> NDArray:
    """Choose the edges of the bins: all distinct scores, or quantiles of all and of positive scores if too many."""
    everything, positives = np.concatenate(scores), np.concatenate(positive)
    distinct = np.unique(everything)
    if len(distinct) <= 2 * BINS or not len(positives):
        return distinct[:: 1 + len(distinct) // (2 * BINS)]
    at = np.linspace(0, 1, BINS)
    return np.unique(np.concatenate([np.quantile(everything, at), np.quantile(positives, at)]))
