"""Histogram equalisation within the brain."""

import numpy as np
from skimage.exposure import equalize_hist

from napari_vqad.detectors.histogram import equalised


def test_it_is_the_share_of_the_brain_that_is_no_brighter():
    rng = np.random.default_rng(0)
    scan, mask = rng.normal(size=(30, 40)), np.zeros((30, 40), bool)
    mask[5:25, 5:35] = True
    u = equalised(scan, mask)
    inside = scan[mask]
    expected = np.array([(inside <= value).mean() for value in inside])
    np.testing.assert_allclose(u[mask], expected, atol=0.02)  # a histogram has bins
    assert (u[~mask] == 0).all()


def test_what_lies_outside_of_the_brain_plays_no_part():
    rng = np.random.default_rng(0)
    scan, mask = rng.normal(size=(30, 40)), np.zeros((30, 40), bool)
    mask[5:25, 5:35] = True
    far = np.where(mask, scan, 1e6)
    np.testing.assert_array_equal(equalised(scan, mask), equalised(far, mask))
    assert not np.allclose(equalize_hist(far, mask=mask)[mask], equalised(far, mask)[mask])  # without the clipping


def test_an_empty_mask_and_a_flat_slice():
    assert not equalised(np.ones((4, 5)), np.zeros((4, 5), bool)).any()
    flat = equalised(np.ones((4, 5)), np.ones((4, 5), bool))
    assert np.isfinite(flat).all()
