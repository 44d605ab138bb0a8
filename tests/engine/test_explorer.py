"""The engine: the slice in view first, nothing computed twice, old work dropped, the same maps as by hand."""

import numpy as np
import pytest
import torch

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.imaging.slice_numbers import span
from napari_vqad.scores.pooling import pool
from napari_vqad.scores.weighting import consolidate, distance, residual, weights

QUICK = Settings(n_restorations=3, lambda_p=2.0, lambda_s=2.0, flag_voxels=0.5)


@pytest.fixture
def explorer(tiny_bundle, head):
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), QUICK)
    explorer.load_scan(*head)
    return explorer


def finish(explorer):
    return list(explorer.work())


def test_everything_is_ready_in_the_end(explorer):
    assert not explorer.ready("nll").any()
    seen = finish(explorer)
    assert {p.stage for p in seen} == {"NLL", "Restorations"}
    assert seen[-1].done == seen[-1].total == len(explorer.grid)
    for name in explorer.maps:
        assert explorer.ready(name).all()
        assert explorer.map(name).shape == explorer.grid.slices.shape
        assert np.isfinite(explorer.map(name)).all()
    assert str(seen[0]).startswith("NLL: 16 of ")


def test_pixel_score_is_made_of_the_restorations(explorer):
    finish(explorer)
    grid, bundle = explorer.grid, explorer.bundle
    pictures = np.stack([explorer.map("restoration_j", j) for j in range(3)], 1)
    mask = torch.from_numpy(grid.mask)
    r = residual(torch.from_numpy(grid.slices[:, None] - pictures))
    w = weights(distance(r, mask), QUICK.k)
    expected = pool(consolidate(w, r) * mask, mask, "smooth")
    np.testing.assert_allclose(explorer.map("pixel_score"), expected.numpy(), atol=2e-3)
    np.testing.assert_allclose(explorer.weights(), w.numpy().T, atol=1e-2)
    restored = torch.from_numpy(explorer.results("restoration", "codes", 1)).long()
    decoded = bundle.detector.tokenizer.decode(restored, torch.from_numpy(grid.position))[:, 0]
    np.testing.assert_allclose(pictures[:, 1], decoded.numpy(), atol=5e-3)


def test_the_slice_in_view_comes_first(explorer):
    explorer.focus = 3
    stages = explorer.work()
    next(stages)
    done = np.flatnonzero(explorer.ready("nll"))
    assert 3 in done
    assert done.max() <= 3 + 16


def test_a_new_focus_is_followed(explorer):
    explorer.focus = 0
    stages = explorer.work()
    while next(stages).stage == "NLL":
        pass
    explorer.focus = len(explorer.grid) - 1
    next(stages)
    assert explorer.ready("restoration")[-1]


def test_cheap_settings_leave_nothing_to_do(explorer):
    finish(explorer)
    before = explorer.map("pixel_score")
    for change in ({"k": 0.5}, {"n_restorations": 2}, {"pooling": "2d"}, {"lambda_s": 1.0}, {"distance": "sum"}):
        assert not explorer.change(QUICK.model_copy(update=change)), change
    explorer.change(QUICK.model_copy(update={"pooling": "2d"}))
    assert not np.allclose(explorer.map("pixel_score"), before)


def test_more_restorations_keep_the_first(explorer):
    finish(explorer)
    before = explorer.map("restoration_j", 2)
    assert explorer.change(QUICK.model_copy(update={"n_restorations": 5}))
    assert not explorer.ready("pixel_score").any()
    finish(explorer)
    np.testing.assert_array_equal(explorer.map("restoration_j", 2), before)
    assert explorer.weights().shape[0] == 5


def test_going_back_finds_what_was_kept(explorer):
    finish(explorer)
    assert explorer.change(QUICK.model_copy(update={"lambda_p": 3.0}))
    finish(explorer)
    assert not explorer.change(QUICK)


def test_order_of_work_does_not_change_the_picture(explorer, tiny_bundle, head):
    explorer.focus = 0
    finish(explorer)
    other = Explorer(Bundle.load(tiny_bundle, "cpu"), QUICK)
    other.load_scan(*head)
    other.focus = len(other.grid) - 1
    finish(other)
    for j in range(3):
        np.testing.assert_array_equal(
            explorer.results("restoration", "codes", j), other.results("restoration", "codes", j)
        )


def test_cancel_stops_within_a_batch(explorer):
    stages = explorer.work()
    next(stages)
    explorer.cancel()
    assert list(stages) == []
    assert explorer.ready("nll").sum() == 16
    finish(explorer)
    assert explorer.ready("pixel_score").all()


def test_results_of_another_scan_are_dropped(explorer, head):
    stages = explorer.work()
    next(stages)
    explorer.load_scan(*head)
    assert list(stages) == []
    assert not explorer.ready("nll").any()


def test_slice_range(explorer):
    explorer.change(QUICK.model_copy(update={"slices": span(explorer.grid, (4, 7))}))
    finish(explorer)
    assert np.flatnonzero(explorer.ready("pixel_score")).tolist() == [4, 5, 6, 7]
    assert np.isnan(explorer.slice_scores()).sum() == len(explorer.grid) - 4
    assert explorer.map("pixel_score")[0].max() == 0


def test_slices_chosen_while_restorations_are_under_way(explorer):
    explorer.change(QUICK.model_copy(update={"slices": span(explorer.grid, (4, 9))}))
    stages = explorer.work()
    while next(stages).stage == "NLL":
        pass
    explorer.change(QUICK)
    for _ in stages:
        pass
    assert explorer.ready("nll").all()
    first = explorer.map("pixel_score")
    explorer.load_grid(explorer.grid)
    finish(explorer)
    np.testing.assert_array_equal(explorer.map("pixel_score"), first)


def test_regenerative_needs_one_picture_and_no_lambda(explorer):
    explorer.change(QUICK.model_copy(update={"method": "regenerative"}))
    finish(explorer)
    assert explorer.weights().shape[0] == 1
    assert not explorer.change(QUICK.model_copy(update={"method": "regenerative", "lambda_p": 5.0, "seed": 3}))
    np.testing.assert_array_equal(explorer.results("restoration", "codes"), explorer.results("nll", "codes"))


def test_slice_scores_follow_lambda_s(explorer):
    finish(explorer)
    low = explorer.slice_scores()
    nll = explorer.results("nll", "nll")
    np.testing.assert_allclose(low, np.where(nll > 2.0, nll, 0).sum((1, 2)), rtol=1e-5)
    explorer.change(QUICK.model_copy(update={"lambda_s": 1e9}))
    assert explorer.volume_score() == 0
    assert not explorer.flagged_slices().any()


def test_says_what_changed(explorer):
    told = []
    explorer.changed.connect(told.append)
    finish(explorer)
    assert {"nll", "pixel_score", "flagged"} in told  # the NLL is evidence of a fused score
    assert set(explorer.maps) - {"nll"} in told
    told.clear()
    explorer.change(QUICK.model_copy(update={"k": 1.0}))
    assert told == [set(explorer.maps) - {"nll", "restoration_j", "disagreement"}]


def test_another_axis_needs_a_new_analysis(explorer):
    with pytest.raises(InputError, match="axis"):
        explorer.change(QUICK.model_copy(update={"axis": "coronal"}))


def test_nothing_to_explore_yet(tiny_bundle):
    with pytest.raises(InputError, match="no scan"):
        _ = Explorer(Bundle.load(tiny_bundle, "cpu")).grid


# ---- a slider that moves while work goes on ----------------------------------------------------------------------


def to_restorations(explorer):
    """A generator whose next step is the first lot of restorations."""
    stages = explorer.work()
    while next(stages).done < len(explorer.grid):
        pass
    return stages


def during(monkeypatch, explorer, step, act):
    """Do something when the detector's check has been asked `step` times in restorations."""
    plain, asked = explorer.detector.restore, []

    def restore(*args):
        *rest, check = args

        def watched():
            asked.append(1)
            if len(asked) == step:
                act()
            check()

        return plain(*rest, watched)

    monkeypatch.setattr(explorer.detector, "restore", restore)
    return asked


def test_the_slice_in_view_comes_alone_then_its_neighbours(explorer):
    explorer.focus = 5
    stages = to_restorations(explorer)
    assert next(stages).slices == (5,)
    following = next(stages).slices
    assert len(following) > 1
    assert max(abs(i - 5) for i in following) <= len(following)


def test_another_lambda_p_is_taken_up_at_the_next_step_of_the_networks(explorer, monkeypatch):
    other = QUICK.model_copy(update={"lambda_p": 1.0})
    stages = to_restorations(explorer)
    during(monkeypatch, explorer, 2, lambda: explorer.change(other))
    assert next(stages).slices == (explorer.focus,)
    assert explorer.ready("restoration").sum() == 1  # of the new λ_p; what was begun for the old one is dropped
    explorer.change(QUICK)
    assert not explorer.ready("restoration").any()


def test_a_drag_leaves_no_queue(explorer, monkeypatch):
    """Twenty positions while the first is under way: one lot of the last one follows, nothing of those between."""
    stages = to_restorations(explorer)
    positions = [QUICK.model_copy(update={"lambda_p": 2.0 - 0.05 * i}) for i in range(20)]

    def drag():
        for settings in positions:
            explorer.change(settings)

    during(monkeypatch, explorer, 1, drag)
    next(stages)
    for settings in positions[:-1]:
        explorer.change(settings)
        assert not explorer.ready("restoration").any()
    explorer.change(positions[-1])
    assert explorer.ready("restoration").sum() == 1
    finish_stages = list(stages)
    assert finish_stages[-1].done == len(explorer.grid)


def test_cancel_in_the_middle_of_a_lot_drops_it(explorer, monkeypatch):
    stages = to_restorations(explorer)
    during(monkeypatch, explorer, 2, explorer.cancel)
    assert list(stages) == []
    assert not explorer.ready("restoration").any()


def test_where_lambda_p_passes_no_code_nothing_is_computed(explorer, monkeypatch):
    finish(explorer)
    first = {j: explorer.results("restoration", "codes", j) for j in range(3)}
    nll = np.sort(explorer.results("nll", "nll")[explorer.results("nll", "nll") > 2.0])
    between = float((2.0 + nll[0]) / 2)
    monkeypatch.setattr(explorer.detector, "restore", lambda *_a, **_k: pytest.fail("computed again"))
    assert explorer.change(QUICK.model_copy(update={"lambda_p": between}))
    finish(explorer)
    for j, codes in first.items():
        np.testing.assert_array_equal(explorer.results("restoration", "codes", j), codes)


@pytest.mark.parametrize("method", ["anchored", "light", "sequential"])
def test_a_lambda_p_reached_by_a_drag_is_the_same_as_reached_at_once(explorer, tiny_bundle, head, method):
    explorer.change(QUICK.model_copy(update={"method": method, "lambda_p": 2.4}))
    for lambda_p in (2.4, 2.3, 2.05):
        explorer.change(QUICK.model_copy(update={"method": method, "lambda_p": lambda_p}))
        finish(explorer)
    other = Explorer(Bundle.load(tiny_bundle, "cpu"), QUICK.model_copy(update={"method": method, "lambda_p": 2.05}))
    other.load_scan(*head)
    finish(other)
    for j in range(3):
        np.testing.assert_array_equal(
            explorer.results("restoration", "codes", j), other.results("restoration", "codes", j)
        )
    np.testing.assert_allclose(explorer.map("pixel_score"), other.map("pixel_score"), atol=2e-3)


def test_pictures_beyond_the_budget_are_decoded_again_and_codes_not_drawn_again(tiny_bundle, head, monkeypatch):
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), QUICK, cache_bytes=400_000)
    explorer.load_scan(*head)
    finish(explorer)
    first = explorer.map("pixel_score")
    for lambda_p in (1.0, 3.0, 4.0, 5.0):
        explorer.change(QUICK.model_copy(update={"lambda_p": lambda_p}))
        finish(explorer)
        assert explorer._current.results._budget.nbytes <= 400_000
    monkeypatch.setattr(explorer.detector, "restore", lambda *_a, **_k: pytest.fail("drawn again"))
    assert explorer.change(QUICK)
    finish(explorer)
    np.testing.assert_allclose(explorer.map("pixel_score"), first, atol=2e-3)


# ---- when memory runs out ----------------------------------------------------------------------------------------


def test_too_little_memory_halves_the_lots_and_changes_nothing(explorer, tiny_bundle, head, monkeypatch):
    plain, sizes = explorer.detector.difference, []

    def difference(slices, restored, position, at_once, check):
        sizes.append(restored.shape[0] * restored.shape[1])
        if sizes[-1] > 2:
            raise torch.OutOfMemoryError
        return plain(slices, restored, position, at_once, check)

    monkeypatch.setattr(explorer.detector, "difference", difference)
    finish(explorer)
    assert max(sizes) > 2 >= sizes[-1]
    other = Explorer(Bundle.load(tiny_bundle, "cpu"), QUICK)
    other.load_scan(*head)
    finish(other)
    np.testing.assert_allclose(explorer.map("pixel_score"), other.map("pixel_score"), atol=2e-3)


def test_no_memory_on_the_gpu_goes_on_on_the_cpu_and_says_so(explorer, monkeypatch):
    """The device is but said to be a GPU here; what is tested is what follows when its memory is too small."""
    from dataclasses import replace

    explorer.bundle = replace(explorer.bundle, device=torch.device("cuda"))
    monkeypatch.setattr(explorer, "_at_once", 4)

    def none(*_args, **_how):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(explorer.detector, "restore", none)
    seen = finish(explorer)
    assert explorer.ready("pixel_score").all()
    assert explorer.bundle.device.type == "cpu"
    assert "CPU" in str(seen[-1])


def test_no_memory_at_all_is_one_sentence(explorer, monkeypatch):
    def none(*_args, **_how):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(explorer.detector, "difference", none)
    with pytest.raises(InputError, match="not enough memory"):
        finish(explorer)
