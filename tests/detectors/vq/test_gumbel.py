"""Gumbel noise keyed by (seed, slice, restoration)."""

import numpy as np

from napari_vqad.detectors.vq.gumbel import gumbel, gumbel_batch


def test_is_the_same_whatever_else_is_drawn():
    batch = gumbel_batch(3, [9, 4], range(2, 5), 6, (2, 3))
    np.testing.assert_array_equal(batch[1, 2], gumbel(3, 4, 4, 6, 6).reshape(6, 2, 3))
    assert batch.shape == (2, 3, 6, 2, 3)


def test_every_key_matters():
    base = gumbel(0, 1, 2, 4, 5)
    for other in (gumbel(1, 1, 2, 4, 5), gumbel(0, 2, 1, 4, 5), gumbel(0, 1, 3, 4, 5)):
        assert not np.allclose(base, other)


def test_is_gumbel():
    g = gumbel(0, 0, 0, 500, 400)
    assert np.isfinite(g).all()
    assert abs(g.mean() - 0.5772) < 0.01
    assert abs(g.std() - np.pi / np.sqrt(6)) < 0.01


def test_argmax_draws_from_the_distribution():
    log_p = np.log([0.6, 0.3, 0.1])[:, None]
    drawn = (log_p + gumbel(0, 0, 0, 3, 60000)).argmax(0)
    np.testing.assert_allclose(np.bincount(drawn) / 60000, [0.6, 0.3, 0.1], atol=0.01)
