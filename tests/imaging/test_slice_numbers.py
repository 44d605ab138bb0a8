"""Which way slices run, and how they are numbered."""

from dataclasses import replace

import numpy as np
import pytest

from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.resample import VoxelGrid
from napari_vqad.imaging.slice_numbers import following, numbers, reading_order, ruler, span
from napari_vqad.imaging.volume import Volume

SPEC = GridSpec(shape=(32, 40), spacing=4.0)


@pytest.mark.parametrize("axis", ["sagittal", "coronal", "axial"])
def test_slice_0_is_the_first_that_is_read(head, axis):
    """At the top, in front, on the patient's right; numbers grow as indices of the canonical voxels fall."""
    grid = to_grid(*head, SPEC, axis)
    volume, found = head[0], numbers(grid)
    a = grid.axis
    for i in range(len(grid)):
        index = (grid.slice_mm(i) - volume.origin[a]) / volume.spacing[a]
        assert found[i] == volume.voxels.shape[a] - 1 - round(index)
    assert list(found[reading_order(grid)]) == sorted(found)
    assert span(grid, (2, 5)) == (found[5], found[2])


def test_the_first_slice_is_the_scans_own_when_the_brain_touches_it(head):
    volume, _ = head
    grid = to_grid(volume, np.ones(volume.voxels.shape, bool), SPEC)
    assert numbers(grid).max() == len(grid) - 1
    assert numbers(grid).min() == 0


def test_a_thicker_scan_is_numbered_in_the_steps_of_the_maps():
    scan = VoxelGrid(np.zeros(3), np.array([1.0, 1.0, 5.0]), (10, 10, 5))
    maps = VoxelGrid(np.zeros(3), np.full(3, 2.0), (5, 5, 10))
    at = ruler(2, "head", scan, maps)
    assert at.number(20.0) == 0
    assert list(at.number(np.array([18.0, 10.0, 0.0]))) == [1, 5, 10]


def test_frames_of_a_clip_keep_their_numbers():
    frames = VoxelGrid(np.zeros(3), np.ones(3), (40, 32, 20))
    assert ruler(2, "clip", frames).number(7.0) == 7


def test_the_next_one_is_further_down_and_the_end_leads_to_the_top(head):
    grid = to_grid(*head, SPEC)
    among = np.array([3, 9, 12])
    assert following(grid, 9, among, 1) == 3
    assert following(grid, 9, among, -1) == 12
    assert following(grid, 3, among, 1) == 12
    assert following(grid, 12, among, -1) == 3
    assert following(grid, 5, np.array([], int), 1) is None


def test_slices_that_share_a_number_do_not_hold_it_up():
    """The slider stops at every 4 mm, the grid has a slice every 2: the next one is that at the next stop."""
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    volume = Volume.from_array(np.random.default_rng(0).random((10, 10, 10)).astype(np.float32), affine)
    grid = to_grid(volume, np.ones((10, 10, 10), bool), GridSpec(shape=(20, 20), spacing=2.0))
    grid = replace(grid, view=volume.frame)  # as of a grid with finer slices than scan and maps
    found, at, seen = numbers(grid), len(grid) - 1, []
    while at not in seen:
        seen.append(at)
        at = following(grid, at, np.arange(len(grid)), 1)
    assert sorted({int(n) for n in found}) == sorted(int(found[i]) for i in seen[1:])


def test_a_slice_beyond_the_picture_has_the_number_of_the_sliders_end(head):
    """As of a head without its top, whose slices are tilted against the scan's."""
    volume, mask = head
    grid = to_grid(volume, mask, GridSpec(shape=(40, 40), spacing=4.0))
    moved = replace(grid, placement=grid.placement + np.pad([[0.0], [0.0], [32.0], [0.0]], ((0, 0), (3, 0))))
    plain, found = numbers(grid), numbers(moved)
    assert plain.min() >= 0
    assert found.min() == 0
    np.testing.assert_array_equal(found, (plain - 8).clip(0))
