"""Counts by score: every figure equals that of the rounded scores, and scikit-learn's of the same scores."""

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, roc_auc_score, roc_curve

from napari_vqad.evaluate.metrics import area_under_overlap, rank
from napari_vqad.tuning.binned import LIMIT, ScoreCounts, added, bins_of, lowest
from napari_vqad.tuning.curves import Curves


def some_voxels(seed, ties=False, n=3000):
    """Scores of both signs, labels, and the regions of the labelled ones."""
    rng = np.random.default_rng(seed)
    labels = ndimage.binary_dilation(rng.random(n) < 0.02, iterations=2)  # in runs of five and more
    scores = (rng.normal(size=n) * rng.choice([1e-3, 1.0, 50.0], n) + 2 * labels).astype(np.float32)
    scores[rng.random(n) < 0.05] = 0
    regions = ndimage.label(labels)[0][labels]
    return np.round(scores, 1) if ties else scores, labels, regions


def rounded(scores):
    return lowest(bins_of(scores))


def overlap_at(scores, labels, regions, threshold):
    """The mean share of a region above a threshold, region by region."""
    flagged = scores[labels] > threshold
    return np.mean([flagged[regions == r].mean() for r in np.unique(regions)])


def test_bins_are_in_order_and_narrow():
    values = np.sort(np.concatenate([some_voxels(0)[0], [0.0, -0.0, 1e-30, -1e30, np.inf, -np.inf]]).astype(np.float32))
    bins = bins_of(values)
    assert (np.diff(bins) >= 0).all()
    assert bins.max() - bins.min() < LIMIT
    assert (rounded(values) <= values).all()
    assert (bins_of(rounded(values)) == bins).all()
    finite = values[np.isfinite(values)]
    assert (finite - rounded(finite) <= np.abs(finite) * 2**-9).all()
    assert bins_of(-0.0) == bins_of(0.0)
    assert lowest(bins_of(1.0)) == 1
    assert bins_of(np.float32(1)) > bins_of(np.nextafter(np.float32(1), np.float32(0)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
def test_figures_are_those_of_the_rounded_scores(seed, ties):
    scores, labels, regions = some_voxels(seed, ties)
    curves, exact = Curves.of_counts(ScoreCounts.of(scores, labels, regions)), rank(rounded(scores), labels)
    assert curves.ranking == exact
    assert curves.ranking.auroc == pytest.approx(roc_auc_score(labels, rounded(scores)), abs=1e-12)
    assert curves.ranking.ap == pytest.approx(average_precision_score(labels, rounded(scores)), abs=1e-12)
    assert exact.ap == pytest.approx(rank(scores, labels).ap, abs=0.01)  # rounding itself changes little
    fpr, tpr, _ = roc_curve(labels, rounded(scores), drop_intermediate=False)
    assert curves.fpr == pytest.approx(fpr[1:])
    assert curves.sensitivity == pytest.approx(tpr[1:])
    precision, recall, _ = precision_recall_curve(labels, rounded(scores))
    assert curves.precision[::-1] == pytest.approx(precision[:-1])
    assert curves.sensitivity[::-1] == pytest.approx(recall[:-1])


@pytest.mark.parametrize("seed", range(4))
def test_the_best_threshold_flags_what_its_dice_says(seed):
    scores, labels, regions = some_voxels(seed)
    curves = Curves.of_counts(ScoreCounts.of(scores, labels, regions))
    flagged = scores > curves.best
    assert f1_score(labels, flagged) == pytest.approx(curves.ranking.dice, abs=1e-12)
    assert curves.at(curves.best).dice == curves.ranking.dice


@pytest.mark.parametrize("threshold", [-3.0, 0.0, 0.123, 1.0, 2.5, 1e6])
def test_rates_at_a_threshold_round_it_like_the_scores(threshold):
    scores, labels, regions = some_voxels(1)
    flagged = rounded(scores) > rounded(threshold)
    at = Curves.of_counts(ScoreCounts.of(scores, labels, regions)).at(threshold)
    assert at.sensitivity == pytest.approx(flagged[labels].mean())
    assert at.fpr == pytest.approx(flagged[~labels].mean())
    if flagged.any():
        assert at.precision == pytest.approx(labels[flagged].mean())
        assert at.dice == pytest.approx(f1_score(labels, flagged))
    else:
        assert np.isnan(at.precision)
        assert at.dice == 0


def test_overlap_is_the_mean_over_regions():
    scores, labels, regions = some_voxels(2, n=400)
    curves = Curves.of_counts(ScoreCounts.of(scores, labels, regions))
    assert len(np.unique(np.bincount(regions)[1:])) > 1  # of several sizes, else it is the sensitivity
    for value, overlap in zip(curves.thresholds, curves.overlap, strict=True):
        assert overlap == pytest.approx(overlap_at(scores, labels, regions, value))
    fpr = np.append(0, curves.fpr)
    grid = np.linspace(0, 0.3, 200_001)
    plain = np.trapezoid(np.interp(grid, fpr, np.append(0, curves.overlap)), grid) / 0.3
    assert curves.aupro == pytest.approx(plain, abs=1e-4)


def test_area_under_overlap_ends_at_the_limit():
    assert area_under_overlap(np.array([0.0, 1.0]), np.array([1.0, 1.0])) == 1
    assert area_under_overlap(np.array([1.0]), np.array([1.0])) == pytest.approx(0.15)  # the diagonal
    steps = np.array([0.3, 0.3, 1.0])
    assert area_under_overlap(steps, np.array([0.0, 1.0, 1.0])) == 0  # a step at the limit has no area
    assert np.isnan(area_under_overlap(np.zeros(0), np.zeros(0)))


def test_counts_of_scans_add_up():
    scans = [some_voxels(seed, ties=True, n=500 + seed) for seed in range(5)]
    total = added([ScoreCounts.of(*scan) for scan in scans])
    scores, labels = (np.concatenate(part) for part in list(zip(*scans, strict=True))[:2])
    first = np.cumsum([0, *(scan[2].max() for scan in scans[:-1])])
    at_once = ScoreCounts.of(scores, labels, np.concatenate([s[2] + f for s, f in zip(scans, first, strict=True)]))
    for name in ("bins", "positives", "negatives", "regions"):
        assert np.array_equal(getattr(total, name), getattr(at_once, name))
    assert total.overlap == pytest.approx(at_once.overlap)
    assert total.overlap.sum() == pytest.approx(total.regions)


def test_memory_does_not_grow_with_voxels():
    rng = np.random.default_rng(0)
    sizes = []
    for n in (10_000, 1_000_000):
        counts = ScoreCounts.of(rng.normal(size=n), np.zeros(n, bool), [])
        sizes.append(len(counts.bins))
        assert counts.negatives.sum() == n
    assert sizes[1] < 40_000
    assert sizes[1] < 5 * sizes[0]


def test_slices_are_ranked_exactly():
    rng = np.random.default_rng(3)
    scores, labels = np.round(rng.normal(size=80), 1), rng.random(80) < 0.3
    curves = Curves.of_scores(scores, labels)
    assert curves.ranking == rank(scores, labels)
    assert curves.ranking.auroc == pytest.approx(roc_auc_score(labels, scores))
    for threshold in (-9.0, *scores[:10], 0.05, 9.0):
        at = curves.at(threshold)
        assert at.sensitivity == pytest.approx((scores > threshold)[labels].mean())
        assert at.fpr == pytest.approx((scores > threshold)[~labels].mean())
    flagged = [(scores > t).sum() for t in curves.thresholds]
    assert flagged == curves.flagged.tolist()


@pytest.mark.parametrize("share", [0, 1])
def test_one_class_has_no_figures(share):
    labels = np.full(50, bool(share))
    counts = ScoreCounts.of(np.arange(50.0), labels, np.ones(50 * share, int))
    for curves in (Curves.of_counts(counts), Curves.of_scores(np.arange(50.0), labels)):
        assert not curves.known
        figures = (*vars(curves.ranking).values(), curves.aupro, curves.best, *curves.at(3.0))
        assert np.isnan(figures).all()


def test_no_voxels_and_no_number():
    assert not Curves.of_counts(added([])).known
    with pytest.raises(ValueError, match="not a number"):
        ScoreCounts.of([1.0, np.nan], [True, False], [1])
