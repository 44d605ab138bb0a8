"""The brain mask by its three ways, on the simulated heads that come along and on real ones where they are."""

import numpy as np
import pytest
from scipy import ndimage

from napari_vqad.errors import InputError
from napari_vqad.imaging.brain_mask import (
    PLAUSIBLE,
    SIDES,
    _depth,
    background_of,
    make_mask,
    network_mask,
    to_network_grid,
    without_islands,
)
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import read_labels, read_mask, read_scan
from napari_vqad.resources import samples_folder
from napari_vqad.train.brain_mask import dice
from napari_vqad.train.data import ixi_scans

NETWORK, STRIPPED, OTSU = "bundled network", "skull-stripped", "Otsu"


@pytest.fixture(scope="module")
def whole():
    """The simulated whole head, and its brain."""
    volume = read_scan(samples_folder() / "healthy_t1.nii.gz")
    return volume, read_mask(samples_folder() / "healthy_brain.nii.gz", volume)


@pytest.fixture(scope="module")
def masked(whole):
    """Its mask, and the note."""
    return make_mask(whole[0])


def scan(voxels, like):
    return Volume.from_array(voxels, like.affine, name="scan")


def test_a_whole_head_goes_through_the_network(whole, masked):
    (volume, brain), (mask, note) = whole, masked
    assert NETWORK in note
    assert mask.dtype == bool
    assert mask.shape == volume.voxels.shape
    assert dice(mask, brain) > 0.93


def test_lesions_are_not_left_out():
    volume = read_scan(samples_folder() / "lesions_t1.nii.gz")
    lesions = read_labels(samples_folder() / "lesions_label.nii.gz", volume) > 0
    mask, _ = make_mask(volume)
    assert mask[lesions].mean() > 0.95


@pytest.mark.parametrize("padding", [0, 6])
def test_a_stripped_head_is_masked_by_its_background(whole, padding):
    """Down to the last voxel of CSF, whatever the background's value, cropped tightly or not."""
    volume, brain = whole
    box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(brain))
    brain = np.pad(brain[box], padding)
    stripped = np.where(brain, np.pad(volume.voxels[box], padding), -7.0)
    mask, note = make_mask(scan(stripped, volume))
    assert STRIPPED in note
    assert dice(mask, brain) > 0.98


def test_a_padded_whole_head_is_not_taken_for_a_stripped_one(whole):
    volume, brain = whole
    padded = scan(np.pad(volume.voxels, 10), volume)
    assert background_of(padded.voxels).level == 0
    mask, note = make_mask(padded)
    assert NETWORK in note
    assert dice(mask, np.pad(brain, 10)) > 0.93


@pytest.fixture(scope="module")
def coarse(whole):
    """The simulated head with lesions at 3 mm, its brain, and the spacing's affine: quick to mask."""
    volume = read_scan(samples_folder() / "lesions_t1.nii.gz")
    brain = read_mask(samples_folder() / "lesions_brain.nii.gz", volume)
    return ndimage.zoom(volume.voxels, 0.5, order=1), ndimage.zoom(brain.astype(float), 0.5, order=1) > 0.5


MM3 = np.diag([3.0, 3, 3, 1])


def noisy(voxels, brain, rng):
    return np.where(brain, voxels, 1e-4 * rng.normal(size=brain.shape))


def lossy(voxels, brain, rng):
    return np.where(brain, 16 * voxels, rng.integers(0, 4, brain.shape))


def grainy(voxels, brain, rng):
    return np.where(brain, voxels, 2 * rng.normal(size=brain.shape))


def interpolated(voxels, brain, rng):
    """Moved by cubic splines, which ring around the brain."""
    return ndimage.shift(np.where(brain, voxels, 0).astype(float), 0.4, order=3)


def z_scored(voxels, brain, rng):
    """The background is the lowest value, and no zero."""
    inside = voxels[brain]
    return np.where(brain, (voxels - inside.mean()) / inside.std(), -5.0) + 1e-6 * rng.normal(size=brain.shape)


@pytest.mark.parametrize("background", [noisy, lossy, grainy, interpolated, z_scored])
def test_a_stripped_head_needs_no_constant_background(coarse, background):
    voxels, brain = coarse
    mask, note = make_mask(Volume.from_array(background(voxels, brain, np.random.default_rng(0)), MM3))
    assert STRIPPED in note
    if background is interpolated:
        brain = ndimage.shift(brain.astype(float), 0.4, order=1) > 0.5
    assert dice(mask, brain) > 0.96


@pytest.mark.parametrize("part", [slice(16, None), slice(0, 48), slice(12, 52)], ids=["top", "bottom", "slab"])
def test_a_part_of_a_stripped_head_is_masked_by_its_background(coarse, part):
    voxels, brain = (a[..., part] for a in coarse)
    mask, note = make_mask(Volume.from_array(noisy(voxels, brain, np.random.default_rng(0)), MM3))
    assert STRIPPED in note
    assert dice(mask, brain) > 0.96


@pytest.mark.parametrize("mm", [15, 30, 45, 60])
def test_a_head_without_its_top_is_masked_as_well_as_a_whole_one(coarse, mm):
    voxels, brain = coarse
    top = np.flatnonzero(brain.any((0, 1)))[-1] - mm // 3
    mask, note = make_mask(Volume.from_array(voxels[..., :top], MM3))
    assert NETWORK in note
    assert dice(mask, brain[..., :top]) > 0.94


def test_the_top_of_a_whole_head_is_not_taken_for_a_stripped_brain(coarse):
    voxels, brain = coarse
    low = np.flatnonzero(brain.any((0, 1)))[-1] - 25
    mask, note = make_mask(Volume.from_array(voxels[..., low:], MM3))
    assert NETWORK in note
    assert dice(mask, brain[..., low:]) > 0.9


@pytest.mark.parametrize("scale", [0.6, 0.72])
def test_the_brain_of_an_infant_is_masked(coarse, scale):
    voxels, brain = coarse
    mask, note = make_mask(Volume.from_array(voxels, np.diag([3 * scale] * 3 + [1.0])))
    assert NETWORK in note
    assert dice(mask, brain) > 0.9


@pytest.mark.parametrize("order", [(1, 2, 0), (2, 0, 1)])
def test_the_mask_does_not_depend_on_the_files_axis_order(whole, masked, order):
    volume, _ = whole
    turned = Volume.from_array(volume.voxels.transpose(order), volume.affine[:, [*order, 3]])
    np.testing.assert_array_equal(make_mask(turned)[0], masked[0])


@pytest.mark.parametrize("change", [lambda x: 3 * x - 1000, lambda x: x * 1e-4], ids=["offset", "scale"])
def test_the_mask_does_not_depend_on_the_unit(whole, masked, change):
    volume, _ = whole
    mask, note = make_mask(scan(change(volume.voxels), volume))
    assert NETWORK in note
    assert dice(mask, masked[0]) > 0.99


def test_what_the_network_makes_no_sense_of_is_masked_by_otsu(whole):
    volume, _ = whole
    for voxels in (np.random.default_rng(0).normal(size=(60, 60, 60)), volume.voxels.max() - volume.voxels):
        mask, note = make_mask(scan(voxels, volume))
        assert OTSU in note
        assert mask.any()


def test_a_ball_in_noise_is_found_by_otsu():
    ball = np.linalg.norm(np.indices((50, 50, 50)) - 24, axis=0) < 15
    noise = np.abs(np.random.default_rng(0).normal(size=ball.shape))
    mask, note = make_mask(Volume.from_array(100 * ball + 5 * noise, np.diag([2.0, 2, 2, 1])))
    assert OTSU in note
    assert dice(mask, ball) > 0.99


def test_nothing_to_mask_is_refused():
    voxels = np.zeros((20, 20, 20))
    voxels[10, 10, 10] = 1
    with pytest.raises(InputError, match="nothing that stands out"):
        make_mask(Volume.from_array(voxels, np.eye(4), name="dust"))


def test_the_networks_grid_hangs_from_the_top_of_the_head(whole):
    """A longer neck moves nothing."""
    volume, _ = whole
    box, offset = to_network_grid(volume)
    assert box.shape == SIDES
    assert abs(box.mean()) < 1e-4
    longer, below = to_network_grid(scan(np.pad(volume.voxels, ((0, 0), (0, 0), (16, 0)), mode="edge"), volume))
    np.testing.assert_allclose(below - offset, (0, 0, 16 * volume.spacing[2] / 4), atol=0.6)
    assert np.corrcoef(box[:, :, 20:].ravel(), longer[:, :, 20:].ravel())[0, 1] > 0.95


def test_held_out_heads(shared_data):
    for split in ("validation", "calibration"):
        volume, brain = next(ixi_scans(shared_data / "ixi_t1_2mm", split))
        mask, unsure = network_mask(volume)
        assert dice(mask, brain) > 0.96
        assert unsure < 0.25


@pytest.mark.parametrize("name", ["lgg_5872", "lgg_6690", "lgg_7881"])
def test_heads_of_another_scanner_with_gliomas(shared_data, name):
    volume = read_scan(shared_data / "lesions" / f"{name}_t1.nii.gz")
    mask, note = make_mask(volume)
    assert NETWORK in note
    assert PLAUSIBLE[0] < mask.sum() * np.prod(volume.spacing) / 1000 < 1500
    assert mask[read_labels(shared_data / "lesions" / f"{name}_label.nii.gz", volume) > 0].mean() > 0.99


@pytest.mark.parametrize("name", ["ms07_t1", "ms19_t1", "brats13_1_t1c", "brats13_4_t1c"])
def test_stripped_heads_of_other_sets(shared_data, name):
    volume = read_scan(shared_data / "lesions" / f"{name}.nii.gz")
    mask, note = make_mask(volume)
    assert STRIPPED in note
    given = shared_data / "lesions" / name.replace("t1c", "mask.nii.gz")
    if given.is_file():
        assert dice(mask, read_mask(given, volume)) > 0.97


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 2.0, 3.0)])
def test_an_island_on_a_thin_bridge_is_left_out_and_the_brain_stays(spacing):
    """A ball of fat below the skull, joined to the brain by a thread; a brainstem of 16 mm stays."""
    shape = np.ceil(np.array([100, 100, 120]) / spacing).astype(int)
    r, a, s = (i * d for i, d in zip(np.indices(shape), spacing, strict=True))
    brain = (r - 50) ** 2 + (a - 50) ** 2 + (s - 75) ** 2 < 35**2
    stem = ((r - 50) ** 2 + (a - 50) ** 2 < 8**2) & (s < 75)  # down to the picture's lowest face
    thread = (np.abs(a - 62) < 3.1) & (np.abs(s - 32) < 3.1) & (np.abs(r - 50) < 40)
    island = (r - 85) ** 2 + (a - 62) ** 2 + (s - 30) ** 2 < 12**2
    joined = brain | stem | thread | island
    found = without_islands(joined, np.array(spacing))
    only_island = island & ~(brain | stem)
    assert found[only_island].mean() < 0.02
    assert found[brain | stem].mean() > 0.995
    assert found[:, :, 0].any()


def test_without_anything_thick_a_mask_stays():
    thin = np.zeros((20, 20, 20), bool)
    thin[10] = True
    np.testing.assert_array_equal(without_islands(thin, np.ones(3)), thin)


def test_depths_within_a_box_are_those_of_the_whole_picture():
    """Also where the mask touches a face of the picture, is empty, or is in several pieces."""
    rng, spacing = np.random.default_rng(0), np.array([1.0, 1.5, 2.0])
    for trial in range(6):
        mask = ndimage.gaussian_filter(rng.normal(size=(20, 24, 18)), 3) > 0.02
        mask[: 4 * trial] = False
        np.testing.assert_allclose(_depth(mask, spacing), ndimage.distance_transform_edt(mask, sampling=spacing))
