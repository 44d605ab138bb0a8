"""Pooling against a loop over voxels."""

import numpy as np
import pytest
import torch

from napari_vqad.scores.pooling import REACH, SIZES, judged, pool, sum_of_minima


def windows(array, size, beyond):
    half = [s // 2 for s in size]
    padded = np.pad(array, [(h, h) for h in half], constant_values=beyond)
    for index in np.ndindex(array.shape):
        yield index, padded[tuple(slice(i, i + s) for i, s in zip(index, size, strict=True))]


def plain(score, mask, mode):
    """Voxels outside the mask are zero; what lies beyond the picture is absent."""
    least, mean = SIZES[mode]
    low, out = np.zeros_like(score), np.zeros_like(score)
    for index, window in windows(score * mask, least, np.nan):
        low[index] = np.nanmin(window)
    for index, window in windows(low, mean, np.nan):
        out[index] = np.nanmean(window)
    return out * mask


def plain_faithful(score, mask, mode):
    """Everything counts, as zero."""
    least, mean = SIZES[mode]
    low, out = np.zeros_like(score), np.zeros_like(score)
    for index, window in windows(score * mask, least, 0.0):
        low[index] = window.min()
    for index, window in windows(low, mean, 0.0):
        out[index] = window.mean()
    return out * mask


@pytest.mark.parametrize("mode", ["2d", "2d-each", "3d"])
@pytest.mark.parametrize(("faithful", "reference"), [(False, plain), (True, plain_faithful)])
def test_equals_a_loop(mode, faithful, reference):
    rng = np.random.default_rng(0)
    score, mask = rng.random((5, 9, 8)).astype(np.float32), rng.random((5, 9, 8)) > 0.25
    got = pool(torch.tensor(score), torch.tensor(mask), mode, faithful).numpy()
    np.testing.assert_allclose(got, reference(score, mask, mode), rtol=1e-5, atol=1e-6)


def test_a_constant_score_is_not_dimmed_at_the_border():
    score, mask = torch.full((4, 6, 6), 2.0), torch.ones(4, 6, 6, dtype=torch.bool)
    assert torch.allclose(pool(score, mask, "3d"), score)
    assert pool(score, mask, "3d", paper_faithful=True)[0, 0, 0] < 2.0


def test_none_leaves_the_score_within_the_mask():
    score, mask = torch.rand(2, 3, 3), torch.rand(2, 3, 3) > 0.5
    assert torch.equal(pool(score, mask, "none"), score * mask)


def test_a_thin_edge_disappears():
    score = torch.zeros(1, 9, 9)
    score[0, 4] = 5.0
    assert pool(score, torch.ones(1, 9, 9, dtype=torch.bool), "2d").max() == 0


@pytest.mark.parametrize(("faithful", "reference"), [(False, plain), (True, plain_faithful)])
def test_each_restoration_is_smoothed_before_the_sum(faithful, reference):
    """Ishii 2023, eq. 12, by a loop: min3×3, then mean7×7, of each w_j R_j alone, and then the sum over j."""
    rng = np.random.default_rng(2)
    residuals, mask = rng.random((4, 9, 8)).astype(np.float32), rng.random((9, 8)) > 0.2
    weights = rng.dirichlet(np.ones(4)).astype(np.float32)
    expected = sum(reference(w * r[None], mask[None], "2d") for w, r in zip(weights, residuals, strict=True))
    minima = sum_of_minima(*map(torch.tensor, (weights, residuals, mask)), faithful)
    got = pool(minima[None], torch.tensor(mask)[None], "2d-each", faithful)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_before_and_after_the_sum_differ_where_restorations_change_different_pixels():
    """Each of two restorations leaves every second pixel as it was: alone it vanishes in the minimum, their sum not."""
    board = torch.arange(9)[:, None].add(torch.arange(9)) % 2
    residuals, mask = torch.stack([board, 1 - board]).float(), torch.ones(9, 9, dtype=torch.bool)
    half = torch.tensor([0.5, 0.5])
    each = pool(sum_of_minima(half, residuals, mask)[None], mask[None], "2d-each")
    after = pool(torch.tensordot(half, residuals, 1)[None], mask[None], "2d")
    assert each.max() == 0
    assert torch.allclose(after, torch.full_like(after, 0.5))
    # One restoration alone, or several that are alike, are smoothed alike.
    alike = residuals[:1].expand(2, -1, -1) + 1
    each = pool(sum_of_minima(half, alike, mask)[None], mask[None], "2d-each")
    assert torch.allclose(each, pool(alike[:1], mask[None], "2d"))


@pytest.mark.parametrize("mode", ["none", "2d", "2d-each", "3d", "baur"])
def test_slices_that_are_not_there_are_as_if_beyond_the_picture(mode):
    """The score of the slices that are there is the score of them alone, and grows to the whole one."""
    torch.manual_seed(0)
    score, mask = torch.rand(7, 9, 8), torch.rand(7, 9, 8) > 0.2
    mask |= torch.tensor(mode == "baur")  # its rim is that of the whole mask, whatever is present
    present = torch.tensor([False, False, True, True, True, False, False])
    got = pool(score, mask, mode, present=present)
    assert torch.allclose(got[2:5], pool(score[2:5], mask[2:5], mode))
    assert not got[~present].any()
    assert torch.allclose(pool(score, mask, mode, present=~present | present), pool(score, mask, mode))


@pytest.mark.parametrize("mode", ["none", "2d", "2d-each", "3d", "baur"])
def test_reach_says_how_far_a_slice_matters(mode):
    torch.manual_seed(0)
    score, mask = torch.rand(11, 9, 8) + 1, torch.ones(11, 9, 8, dtype=torch.bool)
    other = score.clone()
    other[5] = 0.0
    changed = (pool(score, mask, mode) != pool(other, mask, mode)).flatten(1).any(1)
    assert changed.nonzero()[:, 0].tolist() == list(range(5 - REACH[mode], 6 + REACH[mode]))


def test_baur_is_a_median_without_the_rim():
    """Against a loop: the median of 125 voxels, edges repeated, where all six neighbours are brain."""
    rng = np.random.default_rng(1)
    score, mask = rng.random((6, 9, 8)).astype(np.float32), rng.random((6, 9, 8)) > 0.1
    padded, inner = np.pad(score * mask, 2, mode="edge"), np.pad(mask, 1, constant_values=True)
    expected, deep = np.zeros_like(score), np.zeros_like(mask)
    for x, y, z in np.ndindex(score.shape):
        faces = [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, 0), (1, 1, 2), (1, 1, 1)]
        deep[x, y, z] = all(inner[x + i, y + j, z + k] for i, j, k in faces)
        if deep[x, y, z]:
            expected[x, y, z] = np.median(padded[x : x + 5, y : y + 5, z : z + 5])
    assert 0 < deep.sum() < mask.sum()
    np.testing.assert_array_equal(judged(mask, "baur"), deep)
    np.testing.assert_array_equal(judged(mask, "smooth"), mask)
    np.testing.assert_array_equal(pool(torch.from_numpy(score), torch.from_numpy(mask), "baur").numpy(), expected)


def test_smooth_is_a_gaussian_average_within_the_brain():
    from scipy import ndimage

    rng = np.random.default_rng(0)
    score, mask = rng.random((14, 20, 24)).astype(np.float32), rng.random((14, 20, 24)) > 0.3
    blur = {"sigma": 1.5, "mode": "constant", "truncate": 5 / 1.5}
    expected = ndimage.gaussian_filter(score * mask, **blur) / ndimage.gaussian_filter(mask.astype(np.float32), **blur)
    found = pool(torch.from_numpy(score), torch.from_numpy(mask), "smooth").numpy()
    np.testing.assert_allclose(found, expected * mask, rtol=1e-4, atol=1e-5)
    flat = pool(torch.ones(3, 20, 24), torch.ones(3, 20, 24, dtype=torch.bool), "smooth")
    np.testing.assert_allclose(flat.numpy(), 1, rtol=1e-5)  # neither the border nor few slices dim it
