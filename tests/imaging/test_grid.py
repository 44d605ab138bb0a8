"""Onto the model's grid and back, whatever the axis order, spacing and size."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import ndimage

from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.clips import Clip

SPACING = np.array([2.0, 3.0, 1.5])  # mm along the file's axes
ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def affine_of(order, signs):
    """File axis i runs along world axis order[i], in the direction signs[i]."""
    affine = np.zeros((4, 4))
    for i, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[axis, i] = sign * SPACING[i]
    affine[:, 3] = (-11.0, 7.0, 23.0, 1.0)
    return affine


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_to_grid_and_back_whatever_the_axis_order(order, signs, axis):
    shape = tuple(np.array((12, 14, 13))[list(order)])
    rng, affine = np.random.default_rng(0), affine_of(order, signs)
    affine[:3, :3] *= 2 / np.abs(affine[:3, :3]).max(0)  # 2 mm, as the grid
    volume = Volume.from_array(rng.normal(size=shape), affine)
    mask = np.zeros(volume.voxels.shape, bool)
    mask[2:10, 1:13, 3:11] = True
    grid = to_grid(volume, mask, GridSpec(shape=(16, 16), clip=(-99.0, 99.0)), axis)
    inside = volume.voxels[mask]
    z_scored = np.where(mask, (volume.voxels - inside.mean()) / inside.std(), 0)
    back = grid.to_scan(np.where(grid.mask, grid.slices, 0))
    np.testing.assert_allclose(back, z_scored, atol=1e-5)
    assert np.array_equal(grid.to_scan(grid.mask.astype(np.int16), order=0), mask)
    assert grid.outside == 0
    assert len(grid) == np.ptp(np.nonzero(mask)[grid.axis]) + 1
    assert (grid.position[0], grid.position[-1]) == (-0.5, 0.5)


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::5])
def test_a_marked_voxel_is_found_on_the_grid(order, signs):
    """The slice's first in-plane axis is R, the second A; slices are stacked upwards."""
    shape = tuple(np.array((12, 14, 13))[list(order)])
    affine = affine_of(order, signs)
    affine[:3, :3] *= 2 / np.abs(affine[:3, :3]).max(0)
    volume = Volume.from_array(np.zeros(shape), affine)
    volume.voxels[9, 3, 5] = 1
    mask = np.zeros(volume.voxels.shape, bool)
    mask[2:11, 1:12, 2:12] = True
    grid = to_grid(volume, mask, GridSpec(shape=(16, 16), clip=(-99.0, 99.0)))
    found = np.unravel_index(grid.slices.argmax(), grid.slices.shape)
    mm = grid.view.origin + grid.view.spacing * np.array([found[1], found[2], found[0]])
    np.testing.assert_allclose(mm, volume.origin + volume.spacing * (9, 3, 5), atol=1e-9)
    assert grid.slice_of(mm[2]) == found[0]


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.9, 0.9, 5.5), (3, 1.3, 2), (4, 4, 4)], ids=str)
def test_a_ball_keeps_its_place_at_other_spacings(spacing, axis):
    spacing = np.array(spacing, float)
    shape = tuple(np.ceil(90 / spacing).astype(int))
    mm = np.stack(np.meshgrid(*(s * np.arange(n) for s, n in zip(spacing, shape, strict=True)), indexing="ij"))
    ball = np.linalg.norm(mm - np.array([52.0, 40, 47])[:, None, None, None], axis=0) < 12
    mask = np.linalg.norm(mm - 45, axis=0) < 38
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = (-40, 13, 7)
    volume = Volume.from_array(np.where(ball, 200.0, 100.0), affine)
    grid = to_grid(volume, mask, GridSpec(shape=(48, 48)), axis)
    brain = np.median(grid.slices[grid.mask])
    back = grid.to_scan(np.maximum(grid.slices - brain, 0))
    apart = np.subtract(ndimage.center_of_mass(back), ndimage.center_of_mass(ball))
    assert np.abs(apart).max() < 0.5
    assert grid.outside == 0


@pytest.mark.parametrize("n", range(4, 12))
@pytest.mark.parametrize("thickness", [0.7, 1.0, 1.3, 3.0, 5.5])
def test_a_map_reaches_the_first_and_the_last_slice_of_the_mask(thickness, n):
    volume = Volume.from_array(np.random.default_rng(0).normal(size=(20, 20, n)), np.diag([2.0, 2, thickness, 1]))
    grid = to_grid(volume, np.ones(volume.voxels.shape, bool), GridSpec(shape=(32, 32)))
    back = grid.to_scan(np.ones(grid.slices.shape, np.float32))
    np.testing.assert_allclose(back, 1, atol=1e-5)


def test_what_lies_beyond_the_grid_is_counted_and_stays_zero():
    volume = Volume.from_array(np.random.default_rng(0).normal(size=(40, 20, 10)), np.diag([2.0, 2, 2, 1]))
    grid = to_grid(volume, np.ones(volume.voxels.shape, bool), GridSpec(shape=(30, 32)))
    assert grid.outside == pytest.approx(0.25)
    back = grid.to_scan(np.ones(grid.slices.shape, np.float32))
    assert back.mean() == pytest.approx(0.75)
    assert set(np.unique(back)) == {0.0, 1.0}


def test_slices_are_z_scored_within_the_mask_and_clipped(head):
    volume, mask = head
    grid = to_grid(volume, mask, GridSpec(shape=(32, 40), spacing=4.0, clip=(-1.5, 1.5)))
    assert (grid.slices[~grid.mask] == -2).all()
    assert grid.slices[grid.mask].min() >= -1.5
    assert grid.slices[grid.mask].max() <= 1.5
    wide = to_grid(volume, mask, GridSpec(shape=(32, 40), spacing=4.0, clip=(-99.0, 99.0)))
    assert wide.slices[wide.mask].mean() == pytest.approx(0, abs=1e-4)
    assert wide.slices[wide.mask].std() == pytest.approx(1, abs=1e-4)


def test_a_mask_that_does_not_fit_is_refused(head):
    volume, mask = head
    with pytest.raises(InputError, match="must agree"):
        to_grid(volume, mask[:-1], GridSpec())
    with pytest.raises(InputError, match="no voxels"):
        to_grid(volume, np.zeros_like(mask), GridSpec())
    outside = ~mask & (volume.voxels == 0)
    with pytest.raises(InputError, match="one single value"):
        to_grid(volume, outside, GridSpec())


FRAMES = np.random.default_rng(0).integers(0, 256, (5, 16, 24)).astype(np.uint8)
OF_CLIPS = GridSpec(shape=(16, 24), spacing=1.0, clip=(-2.0, 3.0), grey=(102.0, 51.0))


def test_a_clip_is_laid_pixel_for_pixel_and_back():
    """The same grey value is the same SD in every clip; frames stay frames, and none of them has a position."""
    volume = Clip("walk", FRAMES).volume()
    grid = to_grid(volume, np.ones(volume.voxels.shape, bool), OF_CLIPS, "coronal")
    np.testing.assert_allclose(grid.slices, (FRAMES - 102.0) / 51.0, atol=1e-6)
    assert grid.mask.all()
    assert not grid.position.any()
    for there in (grid.to_display(grid.slices), grid.to_scan(grid.slices)):
        np.testing.assert_allclose(there, (volume.voxels - 102.0) / 51.0, atol=1e-5)
    np.testing.assert_array_equal(grid.from_scan(volume.voxels), FRAMES)
    np.testing.assert_array_equal(grid.ras_to_stack(grid.stack_to_ras(grid.slices)), grid.slices)
    assert [grid.slice_of(i) for i in (0, 3, 9)] == [0, 3, 4]
    assert grid.slice_label(3) == "frame 3"
    assert not grid.remarks
    assert not grid.aligned


def test_heads_and_clips_are_told_apart(head):
    volume, mask = head
    clip = Clip("walk", FRAMES).volume()
    whole = np.ones(clip.voxels.shape, bool)
    with pytest.raises(InputError, match="head is a head, and the chosen model knows clips alone"):
        to_grid(volume, mask, OF_CLIPS)
    with pytest.raises(InputError, match="walk is a clip, and the chosen model knows heads alone"):
        to_grid(clip, whole, GridSpec(shape=(16, 24)))
    with pytest.raises(InputError, match="frames of 16×24 pixels, and the model asks for 24×16"):
        to_grid(clip, whole, GridSpec(shape=(24, 16), grey=(102.0, 51.0)))
    whole[0, 0, 0] = False
    with pytest.raises(InputError, match="analysed whole"):
        to_grid(clip, whole, OF_CLIPS)
