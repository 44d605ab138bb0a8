"""Values at some voxels of a scan are those of the map that is resampled to the whole scan."""

import numpy as np
import pytest

from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.volume import Volume
from napari_vqad.imaging.voxel_sampler import VoxelSampler


def check(grid, shape):
    rng = np.random.default_rng(0)
    stack, mask = rng.normal(size=grid.mask.shape).astype(np.float32), rng.random(shape) < 0.3
    sample = VoxelSampler(grid, mask)
    np.testing.assert_allclose(sample(stack), grid.to_scan(stack)[mask], atol=1e-6)
    flags = (stack > 0).astype(np.uint8)
    assert np.array_equal(sample(flags, order=0), grid.to_scan(flags, order=0)[mask])


@pytest.mark.parametrize("spacing", [3.0, 4.0, 6.0])
def test_centred_grid(head, spacing):
    volume, mask = head
    check(to_grid(volume, mask, GridSpec(shape=(32, 40), spacing=spacing)), mask.shape)


@pytest.mark.parametrize("spacing", [2.0, 9.0])
def test_aligned_grid(head, spacing):
    """An affine with a shear, as of an aligned grid; with coarse scan voxels the map is smoothed first."""
    from dataclasses import replace

    volume, mask = head
    grid = to_grid(volume, mask, GridSpec(shape=(32, 40), spacing=4.0))
    placement = grid.placement @ np.array([[1.1, 0.1, 0, 2], [0, 0.9, 0.05, -1], [0, 0, 1, 3], [0, 0, 0, 1.0]])
    placement[:3, :3] *= spacing / 4
    check(replace(grid, aligned=True, placement=placement), mask.shape)


def test_clip():
    rng = np.random.default_rng(1)
    frames = Volume(rng.random((20, 16, 9)).astype(np.float32), np.eye(4), np.eye(4), kind="clip")
    mask = np.ones(frames.voxels.shape, bool)
    check(to_grid(frames, mask, GridSpec((16, 20), 1.0, grey=(0.5, 0.3))), mask.shape)
