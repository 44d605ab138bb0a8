"""Heads are brought to the template, exactly back, and a failed fit is said."""

from dataclasses import replace

import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.imaging.field_of_view import cut_faces
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.intensity import harmonise
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.registration import align
from napari_vqad.imaging.resample import resample_affine
from napari_vqad.imaging.template import Template
from napari_vqad.imaging.volume import Volume
from napari_vqad.resources import models_folder

SPEC = GridSpec(shape=(72, 88), aligned=True)
SHAPE = (100, 116, 96)  # of the simulated scans, 2 mm


@pytest.fixture(scope="module")
def template():
    return Template.load(models_folder() / "ixi-aligned")


def moved(template, affine, shape=SHAPE):
    """The template itself as a scan, moved by a known affine (template mm → scan mm), and its mask."""
    first = -np.array(shape, float)
    to_index = (
        np.linalg.inv(template.frame.to_mm)
        @ np.linalg.inv(affine)
        @ Volume.from_array(np.zeros(shape), frame_affine(first)).frame.to_mm
    )
    mask = resample_affine(template.mask, to_index, shape, order=1) > 0.5
    voxels = resample_affine(template.voxels, to_index, shape, order=1) * mask
    return Volume.from_array(700 * voxels + 20, frame_affine(first), name="moved"), mask


def frame_affine(first):
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = first
    return affine


def turned(degrees, scale, shift):
    a, b = np.radians(degrees)
    nod = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    tilt = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = nod @ tilt @ np.diag(scale)
    affine[:3, 3] = shift
    return affine


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"),
    [
        ((0, 0), (1, 1, 1), (0, 0, 0)),
        ((12, -5), (1.08, 0.95, 1.02), (6, -9, 4)),
        ((-9, 7), (0.9, 0.92, 0.95), (0, 8, 0)),
    ],
)
def test_a_known_affine_is_found(template, degrees, scale, shift):
    truth = turned(degrees, scale, shift)
    volume, mask = moved(template, truth)
    found = align(volume, mask, template)
    assert not found.failed
    corners = np.array([[x, y, z, 1] for x in (-50, 50) for y in (-60, 60) for z in (-40, 40)]).T
    apart = np.linalg.norm(((found.affine - truth) @ corners)[:3], axis=0)
    assert apart.max() < 2.0  # mm, one voxel, at the brain's corners


def test_the_same_scan_is_laid_alike_again(template):
    volume, mask = moved(template, turned((8, 3), (1, 1, 1), (0, 0, 0)))
    np.testing.assert_array_equal(align(volume, mask, template).affine, align(volume, mask, template).affine)


def test_a_mark_is_at_its_place_on_the_grid_on_the_scan_and_on_the_view(template):
    truth = turned((10, -4), (1.05, 0.97, 1.0), (4, -6, 3))
    volume, mask = moved(template, truth)
    grid = to_grid(volume, mask, SPEC, template=template)
    stack = np.zeros(grid.slices.shape, np.float32)
    stack[30:33, 40:43, 50:53] = 1  # (S, R, A) of the template
    centre = (truth @ template.frame.to_mm @ [41, 51, 31, 1])[:3]
    for array, frame in ((grid.to_scan(stack), grid.scan), (grid.to_display(stack), grid.view)):
        places = np.argwhere(array > 0.2)
        mm = (places * array[tuple(places.T)][:, None]).sum(0) / array[tuple(places.T)].sum() * frame.spacing
        assert np.linalg.norm(mm + frame.origin - centre) < 2.0
    assert grid.slice_of(grid.slice_mm(30)) == 30
    assert grid.outside < 0.01


def test_there_and_back_is_the_same_picture(template):
    volume, mask = moved(template, turned((10, -4), (1.05, 0.97, 1.0), (4, -6, 3)))
    grid = to_grid(volume, mask, SPEC, template=template)
    grey = np.moveaxis(grid.intensity.inverse(grid.stack_to_ras(grid.slices)), grid.axis, 0)
    back = grid.to_scan(np.where(grid.mask, grey, 0))
    inside = resample_affine(mask.astype(np.float32), np.eye(4), mask.shape, order=0) > 0
    deep = inside & (back > 0) & (grid.to_scan(grid.mask.astype(np.float32)) > 0.999)
    assert deep.sum() > 0.7 * mask.sum()
    assert np.abs(back - volume.voxels)[deep].mean() < 0.02 * np.ptp(volume.voxels)


def test_a_brain_that_does_not_fit_is_said_and_still_laid(template):
    shape = (60, 60, 60)
    mask = np.zeros(shape, bool)
    mask[5:55, 28:32, 5:55] = True  # a plate
    voxels = np.random.default_rng(0).normal(100, 20, shape)
    volume = Volume.from_array(voxels, np.diag([2.0, 2, 2, 1]), name="plate")
    grid = to_grid(volume, mask, SPEC, template=template)
    assert "Alignment failed" in grid.note
    assert grid.mask.any()


def test_other_axes_than_the_models_are_refused(template):
    volume, mask = moved(template, np.eye(4))
    with pytest.raises(InputError, match="cut axially"):
        to_grid(volume, mask, SPEC, "coronal", template)


@pytest.mark.parametrize("lesion", [False, True])
def test_gain_and_contrast_are_taken_off_and_a_lesion_is_not(template, lesion):
    inside = template.mask > 0.9
    expected = (template.voxels - template.mean) / template.sd
    clean = np.interp(
        template.voxels, np.quantile(template.voxels[inside], [0.06, 0.5, 0.925]), template.marks[[0, 2, 4]]
    )
    voxels = clean.copy()
    spot = np.zeros_like(inside)
    spot[44:54, 50:62, 36:46] = True
    if lesion:
        voxels[spot] = 0.2
    x, _, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in voxels.shape), indexing="ij")
    scanner = 340 * voxels * np.exp(0.3 * z - 0.2 * x**2) + 0.0
    plain, biased = (harmonise(v.astype(np.float32), inside, template) for v in (340 * clean, scanner))
    rest = inside & ~spot
    apart = biased.z(scanner.astype(np.float32)) - plain.z((340 * clean).astype(np.float32))
    assert np.abs(apart[rest]).mean() < 0.12
    if lesion:
        assert apart[spot].mean() < -1.0
    assert np.isfinite(expected).all()


def test_grey_is_the_inverse_of_z(template):
    rng = np.random.default_rng(0)
    inside = template.mask > 0.5
    voxels = (300 * template.voxels + rng.normal(0, 5, inside.shape)).astype(np.float32)
    intensity = harmonise(voxels, inside, template)
    np.testing.assert_allclose(intensity.inverse(intensity.z(voxels))[inside], voxels[inside], atol=0.05)


def test_a_template_that_is_none_is_refused(template, tmp_path):
    with pytest.raises(InputError, match="missing"):
        Template.load(tmp_path)
    template.save(tmp_path)
    again = Template.load(tmp_path)
    np.testing.assert_allclose(again.voxels, template.voxels, atol=1e-6)
    assert (again.mean, again.sd) == pytest.approx((template.mean, template.sd))
    replace(template, marks=template.marks[:2]).save(tmp_path)
    with pytest.raises(InputError, match="not a template"):
        Template.load(tmp_path)


SIDES = {
    "top": (2, slice(0, -28)),
    "bottom": (2, slice(30, None)),
    "front": (1, slice(0, -26)),
    "left": (0, slice(20, None)),
}


@pytest.mark.parametrize("side", SIDES)
def test_a_cut_head_is_laid_as_the_whole_one(template, side):
    """Places agree where the picture ends inside the brain, and the overlap is measured where there is data."""
    affine = turned((8, -4), (1.06, 0.97, 1.02), (3, -4, 2))
    volume, mask = moved(template, affine)
    axis, kept = SIDES[side]
    box = tuple(kept if a == axis else slice(None) for a in range(3))
    first = volume.affine.copy()
    first[:3, 3] += first[:3, axis] * (kept.start or 0)
    cut = replace(volume, voxels=volume.voxels[box], affine=first)
    assert cut_faces(mask[box])
    assert not cut_faces(mask)
    found = align(cut, mask[box], template)
    points = np.argwhere(template.mask > 0.5)[::97] * template.spacing + template.frame.origin
    apart = np.linalg.norm(points @ (found.affine - affine)[:3, :3].T + (found.affine - affine)[:3, 3], axis=1)
    assert not found.failed
    assert found.overlap > 0.93
    assert apart.mean() < 3.0


def test_a_head_that_does_not_lie_as_its_header_says_is_not_aligned(template):
    quarter = turned((90, 0), (1, 1, 1), (0, 0, 0))
    volume, mask = moved(template, quarter, (120, 120, 120))
    assert align(volume, mask, template).failed
