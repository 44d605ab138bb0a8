"""Variance among restorations and among scores, against numpy."""

import numpy as np
import pytest
import torch

from napari_vqad.scores.pooling import pool, sum_of_minima
from napari_vqad.scores.variation import Variance, scores_of_groups, variance
from napari_vqad.scores.weighting import consolidate, distance, weights

RNG = np.random.default_rng(0)
MASK = torch.from_numpy(RNG.random((3, 9, 8)) > 0.3)


def test_is_the_mean_variance_of_the_voxels_of_the_mask():
    maps = RNG.normal(size=(5, 3, 9, 8))
    total, voxels = variance(torch.from_numpy(maps), MASK)
    assert voxels == int(MASK.sum())
    assert total / voxels == pytest.approx(maps.var(0, ddof=1)[MASK.numpy()].mean())
    assert Variance(total, voxels).sd == pytest.approx(np.sqrt(total / voxels))


@pytest.mark.parametrize("pooling", ["none", "2d", "2d-each"])
def test_each_score_is_that_of_its_own_restorations(pooling):
    differences = torch.from_numpy(RNG.normal(size=(5, 3, 9, 8)).astype(np.float32))
    before = differences.clone()
    found = scores_of_groups(differences, MASK, 2, 3.0, pooling=pooling)
    assert torch.equal(differences, before)
    assert found.shape == (2, 3, 9, 8)  # the fifth restoration is left over
    r = differences[2:4].abs().movedim(0, 1)
    w = weights(distance(r, MASK), 3.0)
    each = torch.stack([sum_of_minima(*of_slice) for of_slice in zip(w, r, MASK, strict=True)])
    summed = each if pooling == "2d-each" else consolidate(w, r) * MASK
    assert torch.allclose(found[1], pool(summed, MASK, pooling))


def test_scores_of_independent_restorations_vary_as_their_number_says():
    """Without weights or pooling, the mean of n independent residuals has 1/n of the variance of one."""
    differences = torch.from_numpy(RNG.normal(size=(60, 4, 20, 20)).astype(np.float32))
    mask = torch.ones(4, 20, 20, dtype=torch.bool)
    one, five = (variance(scores_of_groups(differences, mask, n, 0.0, pooling="none"), mask) for n in (1, 5))
    assert one.total / five.total == pytest.approx(5, rel=0.1)
