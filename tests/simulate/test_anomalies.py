"""Simulated anomalies: seeded, inside the mask, and really there."""

import numpy as np
import pytest

from napari_vqad.imaging.grid import Grid
from napari_vqad.simulate.anomalies import KINDS, add_anomaly


@pytest.fixture(scope="module")
def grid():
    rng = np.random.default_rng(0)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (30, 40, 48)), indexing="ij")
    mask = z**2 + y**2 + x**2 < 0.9
    slices = np.where(mask, np.cos(9 * y) + np.sin(7 * x) + 0.2 * rng.normal(size=mask.shape), -2).astype(np.float32)
    return Grid.of_slices(slices, mask, np.linspace(-0.5, 0.5, 30, dtype=np.float32), 2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_changes_what_it_labels(grid, kind):
    for seed in range(4):
        changed, label = add_anomaly(grid, kind, np.random.default_rng(seed))
        moved = np.abs(changed.slices - grid.slices)
        assert label.sum() > 30
        assert not label[~grid.mask].any()
        assert (moved[~grid.mask] == 0).all()
        assert moved[label].mean() > 10 * moved[grid.mask & ~label].mean()
        assert np.abs(changed.slices).max() <= 4


def test_same_seed_same_anomaly(grid):
    one, two, other = (add_anomaly(grid, "ring", np.random.default_rng(s))[0].slices for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)
