"""Where a voxel lands on the canvas."""

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.ui.layers import placement


def test_right_is_left_anterior_up_superior_first(head):
    """A reading room's conventions: patient's right at the picture's left, anterior and superior at its top."""
    volume, _ = head
    layer = Image(placement.to_canvas(volume.voxels), **placement.placed_as(volume))
    low, high = layer.data_to_world((0, 0, 0)), layer.data_to_world(np.array(layer.data.shape) - 1)
    # Canvas: smaller is further up or further left; indices of the data grow to superior, anterior and right.
    assert (np.array(high) < np.array(low)).all()
    np.testing.assert_allclose(low, -volume.affine[:3, 3][::-1])


def test_a_voxel_keeps_its_millimetres(head):
    volume, _ = head
    layer = Image(placement.to_canvas(volume.voxels), **placement.placed_as(volume))
    index = np.array([3, 5, 7])  # R, A, S
    world = layer.data_to_world(index[::-1])
    np.testing.assert_allclose(-np.array(world)[::-1], (volume.affine @ [*index, 1])[:3], atol=1e-6)


@pytest.mark.parametrize("axis", ["sagittal", "coronal", "axial"])
def test_slices_are_found_again_at_their_place(head, axis):
    volume, mask = head
    grid = to_grid(volume, mask, GridSpec((32, 40), 4.0), axis)
    for index in (0, 3, len(grid) - 1):
        point = [0.0, 0.0, 0.0]
        point[placement.canvas_axis(grid)] = placement.point_of(grid, index)
        assert placement.slice_at(grid, tuple(point)) == index


def test_map_and_scan_lie_on_each_other(head):
    """The same millimetres show the same voxel in the scan's layer and in a layer on the grid."""
    volume, mask = head
    grid = to_grid(volume, mask, GridSpec((32, 40), 4.0))
    on_grid = Image(placement.to_canvas(grid.stack_to_ras(grid.slices)), **placement.placed_on(grid))
    on_scan = Image(placement.to_canvas(volume.voxels), **placement.placed_as(volume))
    world = on_scan.data_to_world((14, 16, 15))
    index = tuple(np.round(on_grid.world_to_data(world)).astype(int))
    inside = volume.voxels[mask]
    expected = (on_scan.data[14, 16, 15] - inside.mean()) / inside.std()
    assert on_grid.data[index] == pytest.approx(float(expected), abs=1e-4)


def test_layer_of_another_reader_becomes_a_volume():
    data = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    volume = placement.volume_of(Image(data, scale=(3, 2, 1), translate=(10, 20, 30), name="mine"))
    assert volume.name == "mine"
    assert volume.voxels.shape == (7, 6, 5)
    np.testing.assert_allclose(volume.spacing, (1, 2, 3))
    # And shown again, it lies where it was.
    again = Image(placement.to_canvas(volume.voxels), **placement.placed_as(volume))
    corners = np.sort([again.data_to_world((0, 0, 0)), again.data_to_world((4, 5, 6))], axis=0)
    np.testing.assert_allclose(corners, [(10, 20, 30), (22, 30, 36)])


def test_mask_painted_by_napari_is_turned_round(head):
    """Positive or negative steps: what is painted over a voxel of the scan masks that voxel."""
    volume, mask = head
    mask = mask & (np.arange(30)[:, None, None] > 9)  # not symmetric
    ours = Labels(placement.to_canvas(mask).astype(np.uint8), **placement.placed_as(volume))
    shape = np.array(ours.data.shape)
    theirs = Labels(
        ours.data[::-1, ::-1, ::-1].copy(),
        scale=-np.array(ours.scale),
        translate=ours.data_to_world(shape - 1),
    )
    for layer in (ours, theirs):
        array, origin = placement.mask_of(layer)
        np.testing.assert_array_equal(array, mask)
        np.testing.assert_allclose(origin, volume.origin)
