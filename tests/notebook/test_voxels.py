"""The voxels of the canvas: of a very large scan fewer, and maps interpolated to them."""

import numpy as np
import pytest

from napari_vqad.imaging.resample import VoxelGrid, resample_diagonal
from napari_vqad.imaging.volume import Volume
from napari_vqad.notebook.voxels import CanvasVoxels, Placement

VIEW = VoxelGrid(np.array([3.0, -4.0, 2.0]), np.full(3, 2.5), (14, 12, 11))
CANVAS = VoxelGrid(np.zeros(3), np.array([1.5, 1.0, 2.0]), (32, 29, 20))


@pytest.fixture
def steps():
    made = np.zeros(VIEW.shape, np.uint8)
    made[3:9, 2:, 4:8] = np.random.default_rng(0).integers(1, 127, (6, 10, 4))
    return made


def placed(steps, between):
    return Placement(VIEW, CANVAS)(steps, between).reshape(CANVAS.shape, order="F")


@pytest.mark.parametrize(("between", "order"), [("nearest", 0), ("linear", 1)])
def test_a_picture_is_resampled_as_elsewhere(steps, between, order):
    expected = resample_diagonal(steps.astype(np.float32), VIEW, CANVAS, order=order, cval=0.0)
    np.testing.assert_array_equal(placed(steps, between), np.floor(expected + np.float32(0.5)))


def test_inside_no_colour_is_mixed_with_what_is_transparent(steps):
    flat = np.where(steps > 0, 200, 0).astype(np.uint8)
    found = placed(flat, "inside")
    np.testing.assert_array_equal(found > 0, placed(flat, "nearest") > 0)
    assert set(np.unique(found)) == {0, 200}


def test_a_picture_without_colours_is_empty(steps):
    assert not placed(np.zeros_like(steps), "linear").any()


def test_a_small_scan_is_shown_voxel_by_voxel():
    volume = Volume(np.arange(24.0, dtype=np.float32).reshape(2, 3, 4), np.eye(4), "small")
    voxels = CanvasVoxels(volume)
    assert voxels.shape == (2, 3, 4)
    np.testing.assert_array_equal(voxels.of(volume.voxels), volume.voxels)
    np.testing.assert_allclose(voxels.index(voxels.frac([1, 2, 0.5])), [1, 2, 0.5])


def test_of_a_large_scan_every_second_voxel_of_the_finest_axes_is_shown():
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    volume = Volume(np.random.default_rng(0).random((9, 8, 5), np.float32), affine, "large")
    voxels = CanvasVoxels(volume, most=100)
    assert voxels.shape == (5, 4, 5)
    np.testing.assert_array_equal(voxels.of(volume.voxels), volume.voxels[::2, ::2])
    np.testing.assert_allclose(voxels.affine @ [1, 1, 1, 1], affine @ [2, 2, 1, 1])
    np.testing.assert_allclose(voxels.index(voxels.frac([4, 6, 3])), [4, 6, 3])
    assert voxels.frame.spacing == pytest.approx([1, 1, 2])
