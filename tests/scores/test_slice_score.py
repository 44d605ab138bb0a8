"""The slice score, against a plain loop."""

import numpy as np

from napari_vqad.scores.slice_score import AREA, WEIGHT, slice_score, top

RNG = np.random.default_rng(3)
SCORE, MASK = RNG.normal(size=(5, 30, 40)), RNG.random((5, 30, 40)) < 0.5
MASK[3] = False
MASK[4] = False
MASK[4, :2, :3] = True


def test_the_highest_values_of_each_slice_are_averaged():
    found = top(SCORE, MASK, spacing=2.0)
    for i in (0, 1, 2):
        values = sorted(SCORE[i][MASK[i]].tolist(), reverse=True)[: int(AREA / 4)]
        assert np.isclose(found[i], np.mean(values))
    assert np.isnan(found[3])
    assert np.isclose(found[4], SCORE[4][MASK[4]].mean())


def test_the_area_is_in_mm():
    values = sorted(SCORE[0][MASK[0]].tolist(), reverse=True)[:25]
    assert np.isclose(top(SCORE, MASK, spacing=4.0)[0], np.mean(values))


def test_nll_is_added_where_there_is_one():
    alone, nll = slice_score(SCORE, None, MASK, 2.0), RNG.normal(size=SCORE.shape)
    both = slice_score(SCORE, nll, MASK, 2.0)
    np.testing.assert_allclose(both[:3], WEIGHT * alone[:3] + top(nll, MASK, 2.0)[:3])
