"""The lab without a GUI: edits replayed on a scan, undo and redo, and which slices keep their results."""

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.simulate.recipe import Edit, Painted, Round
from napari_vqad.tuning.lab import Lab, touched

QUICK = Settings(n_restorations=2, lambda_p="p20", lambda_s=1.0, pooling="none", min_volume_ml=0.0)


def ball(mm=(8.0, 0.0, 0.0), radius=9.0, kind="constant", intensity=3.0):
    return Edit(kind=kind, shape=Round(form="ball", centre=mm, radius_mm=radius), intensity=intensity)


@pytest.fixture(params=["tiny_bundle", "tiny_vae"])
def analysed(request, head):
    """An explorer of the small head, complete, and the head's mask."""
    volume, mask = head
    explorer = Explorer(Bundle.load(request.getfixturevalue(request.param), "cpu"), QUICK)
    explorer.load_scan(volume, mask)
    explorer.finish()
    return explorer, mask


@pytest.fixture
def lab(head, tiny_bundle):
    volume, mask = head
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), QUICK)
    explorer.load_scan(volume, mask)
    return Lab(explorer, mask)


def test_untouched_slices_keep_grey_values_and_results_and_the_others_are_computed_again(analysed):
    explorer, mask = analysed
    lab = Lab(explorer, mask)
    lab.add(ball())
    edited = lab.explorer(explorer)
    changed = touched(explorer.grid, edited.grid)
    assert 0 < len(changed) < len(explorer.grid) / 2
    assert np.array_equal(edited.grid.placement, explorer.grid.placement)
    missing = {i for phase in edited.phases for i in edited._missing(phase)}
    assert missing == set(changed.tolist())
    edited.finish()
    before, after = explorer.stages().results, edited.stages().results
    same = {
        (name, i): all(np.array_equal(array, after[name][i][key]) for key, array in arrays.items())
        for name, slices in before.items()
        for i, arrays in enumerate(slices)
    }
    assert all(same[name, i] for name, i in same if i not in changed)
    assert not all(same.values())


def test_the_edited_scan_has_the_results_of_a_fresh_analysis_of_it(analysed):
    explorer, mask = analysed
    lab = Lab(explorer, mask)
    lab.add(ball())
    edited = lab.explorer(explorer)
    edited.finish()
    fresh = Explorer(explorer.bundle, QUICK)
    fresh.load_grid(edited.grid)
    fresh.finish()
    assert np.allclose(fresh.map("residual"), edited.map("residual"), atol=1e-5)


def test_undo_equals_a_replay_without_the_last_edit(lab, head):
    one, two, three = ball(), ball((-12, 8, 4), kind="additive", intensity=-1.0), ball((4, 4, 0), 6.0)
    for edit in (one, two, three):
        lab.add(edit)
    lab.undo()
    undone = lab.edited()
    other = Lab(*_begin(lab, head))
    other.add(one)
    other.add(two)
    assert np.array_equal(undone.voxels, other.edited().voxels)
    assert np.array_equal(undone.edited.label, other.edited().edited.label)
    lab.redo()
    assert lab.done == (one, two, three)
    lab.clear()
    assert lab.edited() is lab.original
    lab.redo()
    assert lab.done == (one,)
    lab.add(three)
    assert lab.undone == ()


def _begin(lab, head):
    explorer = Explorer(lab._bundle, QUICK)
    explorer.load_scan(lab.original, head[1])
    return explorer, head[1]


def test_an_undone_edit_and_the_original_need_no_network_again(analysed, monkeypatch):
    explorer, mask = analysed
    lab = Lab(explorer, mask)
    lab.add(ball())
    first = lab.explorer(explorer)
    first.finish()
    lab.add(ball((9, 3, 2)))
    second = lab.explorer(first)
    second.finish()
    lab.undo()
    assert lab.explorer(second) is first
    assert lab.explorer(second, ()) is explorer
    # Other settings meanwhile: only what was computed with them is known.
    again = second.settings.model_copy(update={"n_restorations": 1})
    second.change(again)
    assert lab.explorer(second).complete


def test_the_original_is_never_changed(lab, head):
    voxels = lab.original.voxels.copy()
    lab.add(ball())
    assert not np.array_equal(lab.edited().voxels, voxels)
    assert np.array_equal(lab.original.voxels, voxels)
    assert lab.original is head[0]


@pytest.mark.parametrize("mm", [(500.0, 0.0, 0.0), (-58.0, -60.0, -50.0)])
def test_a_place_outside_the_scan_or_the_brain_is_refused_and_nothing_is_lost(lab, mm):
    lab.add(ball())
    with pytest.raises(InputError, match="outside"):
        lab.add(ball(mm))
    assert lab.done == (ball(),)


def test_a_lab_that_begins_with_an_edited_scan_can_undo_its_edits(analysed):
    explorer, mask = analysed
    lab = Lab(explorer, mask)
    lab.add(ball())
    edited = lab.explorer(explorer)
    edited.finish()
    later = Lab(edited, mask)
    assert later.done == (ball(),)
    later.undo()
    original = later.explorer(edited)
    assert original.scan is lab.original
    assert np.array_equal(original.grid.slices, explorer.grid.slices)
    assert not original.complete  # what the anomaly covered was never computed here


def test_an_intensity_in_words_names_sd_percent_and_rank(lab, head):
    volume, mask = head
    inside = volume.voxels[mask]
    share = 100 * (inside.mean() + inside.std()) / inside.mean()
    words = lab.in_words(1.0)
    assert words.startswith(f"+1.0 SD of the brain, {share:.0f} % of its mean grey value, brighter than ")
    rank = float(words.rpartition("than ")[2].split()[0])
    assert abs(rank - 100 * (inside < inside.mean() + inside.std()).mean()) <= 1
    assert "−1.0 SD" in lab.in_words(-1.0, added=True)


def test_patches_from_another_scan_need_it(lab, head):
    other = _other(head)
    scan = lab.foreign_scan(other, head[1])
    patch = Edit(
        kind="patch", shape=Round(form="ball", centre=(8, 0, 0), radius_mm=9.0), taken_from=(0, 4, 0), scan=scan
    )
    lab.add(patch)
    fresh = Lab(*_begin(lab, head))
    with pytest.raises(InputError, match="not open"):
        fresh.add(patch)
    assert fresh.done == ()


def test_an_edited_scan_or_a_clip_gives_no_patch(lab):
    lab.add(ball())
    with pytest.raises(InputError, match="as it was read"):
        lab.foreign_scan(lab.edited())


def test_a_lab_of_the_same_scan_carries_edits_over_as_undone_ones(lab, head):
    lab.add(ball())
    lab.add(ball((0, 4, 0)))
    fresh = Lab(*_begin(lab, head))
    fresh.carry(lab)
    assert fresh.done == ()
    fresh.redo()
    fresh.redo()
    assert fresh.done == lab.done


def test_a_painted_mask_is_changed_where_it_lies_in_the_brain(lab, head):
    volume, brain = head
    mask = np.zeros(brain.shape, bool)
    mask[14:17, 15:18, 13] = True
    mask[0, 0, 0] = True
    lab.add(Edit(kind="constant", shape=Painted.of(mask), intensity=1.0))
    edited = lab.edited()
    assert np.array_equal(edited.edited.label > 0, mask & brain)
    assert np.array_equal(edited.voxels != volume.voxels, mask & brain)


def _other(head):
    from dataclasses import replace

    return replace(head[0], voxels=head[0].voxels[::-1].copy() * 2 + 10, name="other")
