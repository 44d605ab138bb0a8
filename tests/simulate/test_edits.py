"""Edits of a scan: the equations against values made by hand, and the recipe as JSON."""

import numpy as np
import pytest
from pydantic import ValidationError

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.simulate.edits import replay
from napari_vqad.simulate.recipe import Edit, ForeignScan, Grey, Painted, Recipe, Round

SPACING = np.array([2.0, 1.0, 3.0])
ORIGIN = np.array([-20.0, 5.0, -30.0])


@pytest.fixture
def volume():
    voxels = np.random.default_rng(0).random((20, 24, 16)).astype(np.float32) * 100
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = ORIGIN
    return Volume.from_array(voxels, affine, name="box")


@pytest.fixture
def brain(volume):
    brain = np.zeros(volume.voxels.shape, bool)
    brain[2:18, 2:22, 1:15] = True
    return brain


def mm(*index):
    return tuple((ORIGIN + SPACING * index).tolist())


def put(volume, brain, *edits, **others):
    return replay(volume, brain, Recipe(grey=Grey.of(volume, brain), edits=edits), **others)


def apart(volume, index):
    """Distance of each voxel from an index, mm."""
    return np.linalg.norm((np.moveaxis(np.indices(volume.voxels.shape), 0, -1) - index) * SPACING, axis=-1)


CENTRE = (10.0, 12.0, 7.0)
BALL = Round(form="ball", centre=mm(*CENTRE), radius_mm=6.0)
DISC = Round(form="disc", centre=mm(*CENTRE), radius_mm=6.0, axis=2, thickness_mm=3.0)


def test_a_sharp_ball_has_one_intensity_within_its_radius_in_the_brain(volume, brain):
    edited = put(volume, brain, Edit(kind="constant", shape=BALL, intensity=1.5))
    inside = (apart(volume, CENTRE) <= 6.0) & brain
    grey = volume.voxels[brain]
    assert np.array_equal(edited.edited.label, inside.astype(np.uint8))
    assert np.allclose(edited.voxels[inside], grey.mean() + 1.5 * grey.std(), rtol=1e-6)
    assert np.array_equal(edited.voxels[~inside], volume.voxels[~inside])


def test_an_added_intensity_leaves_the_anatomy(volume, brain):
    edited = put(volume, brain, Edit(kind="additive", shape=BALL, intensity=-0.5))
    inside = edited.edited.label > 0
    change = (edited.voxels - volume.voxels)[inside]
    assert np.allclose(change, -0.5 * volume.voxels[brain].std(), atol=1e-4)


def test_a_disc_lies_in_one_plane_with_its_thickness(volume, brain):
    for axis, thickness, slices in ((2, 3.0, 1), (2, 6.0, 3), (0, 4.0, 3), (1, 0.1, 1)):
        shape = DISC.model_copy(update={"axis": axis, "thickness_mm": thickness})
        label = put(volume, brain, Edit(kind="constant", shape=shape)).edited.label > 0
        assert np.flatnonzero(label.any(tuple(a for a in range(3) if a != axis))).size == slices
    assert np.array_equal(label[:, 12], (apart(volume, CENTRE)[:, 12] <= 6.0) & brain[:, 12])


@pytest.mark.parametrize("shape", [BALL, DISC])
@pytest.mark.parametrize("kind", ["sink", "source"])
@pytest.mark.parametrize("squared", [True, False])
def test_sink_and_source_take_each_voxel_from_where_the_equation_says(volume, brain, shape, kind, squared):
    """Digest C1: new[J] = old[J + (1 − s)(J − h_c)] or old[h_c + s (J − h_c)], s = (‖J − h_c‖ / h_s)^p."""
    edited = put(volume, brain, Edit(kind=kind, shape=shape, squared=squared))
    inside = np.argwhere(edited.edited.label)
    assert len(inside) > 50 if shape is BALL else len(inside) > 20
    for place in inside:
        away = place - np.array(CENTRE)
        s = (np.linalg.norm(away * SPACING) / 6.0) ** (2 if squared else 1)
        taken = place + (1 - s) * away if kind == "sink" else np.array(CENTRE) + s * away
        if np.abs(taken % 1 - 0.5).min() < 1e-9:  # a half may be rounded up or down
            continue
        assert edited.voxels[tuple(place)] == volume.voxels[tuple(np.rint(taken).astype(int))]
    assert np.array_equal(edited.voxels[edited.edited.label == 0], volume.voxels[edited.edited.label == 0])


def test_one_voxel_of_a_sink_by_hand(volume, brain):
    """2 mm along A of the centre, radius 6 mm: s = 1/3, V = 2 + (2/3)·2 = 3.3, voxel 3; squared: 3.8, voxel 4."""
    for squared, taken in ((False, 15), (True, 16)):
        edited = put(volume, brain, Edit(kind="sink", shape=DISC, squared=squared))
        assert edited.voxels[10, 14, 7] == volume.voxels[10, taken, 7]


def test_shuffled_voxels_are_the_same_ones_in_an_order_of_the_seed(volume, brain):
    one, same, other = (put(volume, brain, Edit(kind="shuffle", shape=BALL, seed=seed)) for seed in (3, 3, 4))
    inside = one.edited.label > 0
    assert sorted(one.voxels[inside]) == sorted(volume.voxels[inside])
    assert np.array_equal(one.voxels, same.voxels)
    assert not np.array_equal(one.voxels, other.voxels)


def test_a_patch_of_the_same_scan_is_moved_by_whole_voxels(volume, brain):
    edit = Edit(kind="patch", shape=BALL, taken_from=mm(8.2, 9, 7))
    edited = put(volume, brain, edit)
    for place in np.argwhere(edited.edited.label):
        assert edited.voxels[tuple(place)] == volume.voxels[tuple(place - (2, 3, 0))]


def test_a_patch_of_another_scan_has_this_scans_grey_values(volume, brain):
    other = Volume.from_array(3 * volume.voxels + 7, volume.affine, name="other")
    scan = ForeignScan(name="other", path=None, sha256="abc", grey=Grey.of(other, brain))
    edited = put(
        volume, brain, Edit(kind="patch", shape=BALL, taken_from=mm(8, 9, 7), scan=scan), foreign={"abc": other}
    )
    for place in np.argwhere(edited.edited.label):
        assert edited.voxels[tuple(place)] == pytest.approx(volume.voxels[tuple(place - (2, 3, 0))], rel=1e-3, abs=1e-2)


def test_softness_blurs_the_edge_with_a_gaussian_in_mm(volume, brain):
    sharp, soft = (
        put(volume, brain, Edit(kind="additive", shape=BALL, intensity=10.0, softness_mm=mm)) for mm in (0.0, 2.0)
    )
    step, smooth = sharp.voxels - volume.voxels, soft.voxels - volume.voxels
    assert np.array_equal(sharp.edited.label, soft.edited.label)
    assert smooth.max() < step.max()
    beyond = (sharp.edited.label == 0) & (smooth > 0.05 * step.max())
    assert beyond.any()
    assert brain[beyond].all()
    from scipy import ndimage

    inside = (sharp.edited.label > 0).astype(np.float32)
    wanted = ndimage.gaussian_filter(inside, 2.0 / SPACING) * step.max()
    assert np.allclose(smooth[brain], wanted[brain], atol=0.02 * step.max())


def test_later_edits_act_on_what_earlier_ones_left(volume, brain):
    edits = Edit(kind="constant", shape=BALL, intensity=2.0), Edit(kind="additive", shape=DISC, intensity=1.0)
    edited, grey = put(volume, brain, *edits), Grey.of(volume, brain)
    assert edited.voxels[10, 12, 7] == pytest.approx(grey.mean + 3 * grey.sd, rel=1e-5)
    assert set(np.unique(edited.edited.label)) == {0, 1, 2}
    assert edited.edited.label[10, 12, 7] == 2


def test_the_edited_scan_cannot_be_taken_for_the_patients(volume, brain):
    edited = put(volume, brain, Edit(kind="constant", shape=BALL), Edit(kind="shuffle", shape=BALL, seed=5))
    assert edited.name == "box (edited)"
    assert edited.path is None
    assert edited.source is volume
    assert "Edited scan: 2 anomalies put in. It is not the patient's scan." in edited.notes
    assert edited.edited.lines[1].startswith("2. Shuffled voxels, seed 5: ball, radius 6 mm, centre R 0, A 17, I 9 mm")
    assert put(volume, brain) is volume


def test_a_recipe_survives_json(volume, brain):
    painted = Painted.of(brain & (np.random.default_rng(1).random(brain.shape) > 0.5))
    scan = ForeignScan(name="other", path="/x.nii", sha256="abc", grey=Grey(mean=1.0, sd=2.0))
    recipe = Recipe(
        grey=Grey.of(volume, brain),
        edits=(
            Edit(kind="constant", shape=BALL, intensity=-1.25, softness_mm=0.5),
            Edit(kind="shuffle", shape=painted, seed=77),
            Edit(kind="patch", shape=DISC, taken_from=mm(8, 9, 7)),
            Edit(kind="patch", shape=DISC, taken_from=mm(8, 9, 7), scan=scan),
        ),
    )
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert hash(again.edits) == hash(recipe.edits)
    short = recipe.model_copy(update={"edits": recipe.edits[:3]})
    assert np.array_equal(
        replay(volume, brain, short).voxels,
        replay(volume, brain, again.model_copy(update={"edits": again.edits[:3]})).voxels,
    )


def test_a_painted_mask_survives_its_runs():
    rng = np.random.default_rng(2)
    for p in (0.02, 0.5, 0.98, 1.0):
        mask = rng.random((7, 5, 6)) < p
        if not mask.any():
            continue
        painted = Painted.of(mask)
        back = np.zeros_like(mask)
        back[tuple(slice(a, a + n) for a, n in zip(painted.low, painted.size, strict=True))] = painted.voxels()
        assert np.array_equal(back, mask)
    assert Painted.of(np.zeros((3, 3, 3), bool)) is None


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"kind": "sink", "shape": Painted(low=(1, 1, 1), size=(1, 1, 2), runs=(0, 2))}, "painted mask"),
        ({"kind": "patch", "shape": BALL}, "taken from"),
        (
            {"kind": "constant", "shape": {"form": "painted", "low": (0, 0, 0), "size": (2, 2, 2), "runs": (1, 2)}},
            "runs",
        ),
        ({"kind": "melt", "shape": BALL}, "kind"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused(fields, what):
    with pytest.raises(ValidationError, match=what):
        Edit.model_validate(fields)


def test_what_lies_outside_is_refused(volume, brain):
    for centre, what in ((mm(30, 2, 2), "outside the scan"), (mm(0, 0, 0), "outside the brain")):
        with pytest.raises(InputError, match=what):
            put(volume, brain, Edit(kind="constant", shape=BALL.model_copy(update={"centre": centre})))
    empty = np.zeros_like(brain)
    empty[0, 0, 0] = True
    with pytest.raises(InputError, match="no voxel in the brain"):
        put(volume, brain, Edit(kind="constant", shape=Painted.of(empty)))
    far = Painted(low=(50, 0, 0), size=(1, 1, 1), runs=(0, 1))
    with pytest.raises(InputError, match="outside the scan"):
        put(volume, brain, Edit(kind="constant", shape=far))
