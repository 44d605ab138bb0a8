"""AUROC, average precision and best Dice against loops over pairs and thresholds."""

import numpy as np
import pytest

from napari_vqad.evaluate.metrics import rank


def plain(scores, labels):
    pos, neg = scores[labels], scores[~labels]
    auroc = np.mean([(p > n) + 0.5 * (p == n) for p in pos for n in neg])
    ap, recall, dice = 0.0, 0.0, 0.0
    for t in np.unique(scores)[::-1]:
        flagged = scores >= t
        true = (flagged & labels).sum()
        ap += (true / labels.sum() - recall) * true / flagged.sum()
        recall = true / labels.sum()
        dice = max(dice, 2 * true / (flagged.sum() + labels.sum()))
    return auroc, ap, dice


@pytest.mark.parametrize("ties", [False, True])
def test_equals_the_loops(ties):
    rng = np.random.default_rng(3)
    labels = rng.random(200) < 0.2
    scores = rng.normal(size=200) + labels
    scores = np.round(scores) if ties else scores
    got = rank(scores, labels)
    np.testing.assert_allclose((got.auroc, got.ap, got.dice), plain(scores, labels), rtol=1e-12)


def test_perfect_and_constant():
    labels = np.array([0, 0, 1, 1], bool)
    assert rank([0, 1, 2, 3], labels) == rank([-5, -4, 7, 9], labels)
    assert rank([0, 1, 2, 3], labels).dice == 1
    flat = rank([1, 1, 1, 1], labels)
    assert (flat.auroc, flat.ap) == (0.5, 0.5)


def test_nothing_to_rank():
    assert np.isnan(rank([1, 2], [False, False]).auroc)
