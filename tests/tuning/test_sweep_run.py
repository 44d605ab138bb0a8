"""A sweep over one scan: every cell as its single analysis, resumed, cancelled, beside the analysis on screen."""

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.scan_measures import MEASURES, measure, measures_of
from napari_vqad.evaluate.scan_sweep import SweptPoint, scan_case
from napari_vqad.evaluate.sweep_pace import SweepPace, SweepProgress
from napari_vqad.tuning.sweep_axes import Axis
from napari_vqad.tuning.sweep_plan import DonePoints, SweepPlan, scan_key
from napari_vqad.tuning.sweep_run import WAITS, SweepRun

SETTINGS = Settings(n_restorations=3, lambda_p="p50", lambda_s=1.0)
AXES = (Axis("lambda_p", (2.6, 2.75)), Axis("n_restorations", (1, 3)), Axis("k", (0.0, 3.0)))


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return Bundle.load(tiny_bundle, "cpu")


@pytest.fixture
def explorer(bundle, head):
    """The explorer on screen, complete."""
    explorer = Explorer(bundle, SETTINGS)
    explorer.load_scan(*head)
    explorer.finish()
    return explorer


@pytest.fixture
def plan(explorer):
    return SweepPlan.of(explorer, SETTINGS, AXES)


@pytest.fixture
def label(head):
    """Two lesions, one of them partly beyond the brain."""
    _volume, mask = head
    label = np.zeros(mask.shape, bool)
    label[12:18, 14:20, 12:18] = label[:5, 14:18, 12:16] = True
    return label


def run(explorer, head, plan, **given):
    return list(SweepRun(explorer, head[1], plan.base, plan.points, **given).steps())


def cells(news):
    return {one.point.name: one.values for one in news if isinstance(one, SweptPoint)}


def test_a_cell_is_its_single_analysis_to_the_last_digit(explorer, bundle, head, plan, label):
    found = cells(run(explorer, head, plan, label=label))
    assert len(found) == 8
    for point in plan.points:
        alone = Explorer(bundle, SETTINGS.model_copy(update=dict(point.given)))
        alone.load_scan(*head)
        alone.finish()
        assert found[point.name] == measure(alone, scan_case(alone.grid, head[1], label), True)
    assert len({(values["highest"], values["spread"], values["voxel_ap"]) for values in found.values()}) == 6
    assert list(next(iter(found.values()))) == measures_of(bundle.detector, "head", True)


def test_measures_are_those_of_the_analysis(explorer, head, label):
    from napari_vqad.evaluate.cases import labelled_case
    from napari_vqad.evaluate.metrics import rank
    from napari_vqad.findings.findings import findings

    explorer.change(SETTINGS.model_copy(update={"flag_voxels": "p90", "min_volume_ml": 0.0}))
    case = scan_case(explorer.grid, head[1], label)
    found = measure(explorer, case, True)
    listed = findings(explorer)
    assert found["findings"] == len(listed) > 0
    assert found["flagged_ml"] == pytest.approx(sum(one.ml for one in listed))
    assert found["highest"] == max(one.peak for one in listed)
    assert found["flagged_slices"] == explorer.flagged_slices().sum()
    assert found["spread"] == pytest.approx(explorer.map("disagreement")[explorer.grid.mask].mean())
    ranked = rank(
        labelled_case("x", explorer.grid, head[1], label).on_truth(explorer.map("pixel_score")), label[head[1] | label]
    )
    assert (found["voxel_ap"], found["voxel_auroc"], found["dice"]) == (ranked.ap, ranked.auroc, ranked.dice)
    assert found["sensitivity"] in (0.0, 0.5, 1.0)
    nothing = measure(explorer, scan_case(explorer.grid, head[1], np.zeros_like(label)), True)
    assert all(np.isnan(nothing[name]) for name in ("voxel_ap", "dice", "slice_auroc", "sensitivity"))
    assert nothing["false_findings"] == found["findings"]
    plain = measure(explorer, scan_case(explorer.grid, head[1], None), False)
    assert plain == {name: value for name, value in found.items() if not MEASURES[name].labelled}


def test_nothing_is_encoded_or_restored_twice(explorer, head, plan, monkeypatch):
    restored, draw = [], VQDetector.restore

    def restore(self, codes, nll, position, indices, chains, *rest, **more):
        restored.extend((i, j) for i in indices for j in chains)
        return draw(self, codes, nll, position, indices, chains, *rest, **more)

    monkeypatch.setattr(VQDetector, "restore", restore)
    monkeypatch.setattr(VQDetector, "encode", lambda *_: pytest.fail("the scan is encoded already"))
    before = explorer.settings, explorer.map("pixel_score"), explorer.stages().results
    assert len(cells(run(explorer, head, plan))) == 8
    n = int(explorer.grid.mask.any((1, 2)).sum())
    # λ_p × S × slices at most: S = 1 and k are arithmetic, and slices without a code between both λ_p are taken over.
    assert 3 * n <= len(restored) <= 2 * 3 * n
    assert explorer.settings == before[0]
    assert explorer.map("pixel_score") is before[1]


def test_points_with_the_same_restorations_follow_each_other_the_most_first(explorer, plan):
    order = [tuple(point.given.values()) for point in SweepPace(explorer, plan.base, plan.points).order]
    assert [point[:2] for point in order[::2]] == [(2.6, 3), (2.6, 1), (2.75, 3), (2.75, 1)]


def test_progress_has_the_time_left(explorer, head, plan):
    news = [one for one in run(explorer, head, plan) if isinstance(one, SweepProgress)]
    assert {one.total for one in news} == {8}
    assert sorted(one.done for one in news) == [one.done for one in news]
    assert news[-1].done == 8
    assert news[-1].seconds_left == 0
    assert all(one.seconds_left is None or one.seconds_left >= 0 for one in news)
    assert "of 8 cells" in str(news[0])
    assert "Restorations: " in str(news[0])


def test_a_cancelled_sweep_stops_within_the_networks_and_goes_on_from_a_folder(
    explorer, head, plan, tmp_path, monkeypatch
):
    sweep = SweepRun(explorer, head[1], plan.base, plan.points, keep=tmp_path)
    done = []
    for one in sweep.steps():
        done += [one] if isinstance(one, SweptPoint) else []
        if len(done) == 4 and isinstance(one, SweepProgress) and one.step is not None:
            sweep.cancel()
    assert len(done) == 4
    measured = []
    from napari_vqad.evaluate import scan_sweep

    monkeypatch.setattr(scan_sweep, "measure", lambda *args: measured.append(1) or measure(*args))
    again = cells(run(explorer, head, plan, keep=tmp_path))
    assert len(measured) == 4
    for one in done:
        assert again[one.point.name] == one.values
    monkeypatch.setattr(scan_sweep, "measure", lambda *_: pytest.fail("it is stored"))
    assert cells(run(explorer, head, plan, keep=tmp_path)) == again


def test_a_stored_cell_of_another_scan_or_setting_is_not_used(explorer, head, plan, tmp_path, bundle):
    from napari_vqad.imaging.volume import Volume

    first = cells(run(explorer, head, plan, keep=tmp_path))
    volume, mask = head
    other = Explorer(bundle, SETTINGS)
    changed = Volume.from_array(
        volume.voxels * np.linspace(1, 1.3, 30)[:, None, None].astype(np.float32), volume.affine
    )
    other.load_scan(changed, mask)
    other.finish()
    assert scan_key(other) != scan_key(explorer)
    assert cells(run(other, head, plan, keep=tmp_path)) != first
    pooled = SweepPlan.of(explorer, SETTINGS.model_copy(update={"pooling": "2d"}), AXES)
    assert set(pooled.keys).isdisjoint(plan.keys)
    assert cells(run(explorer, head, pooled, keep=tmp_path)) != first


def test_the_sweep_waits_while_the_screen_is_busy(explorer, head, plan):
    looks = iter([True, True, True, False])
    news = run(explorer, head, plan, busy=lambda: next(looks, False))
    assert news[0] == WAITS
    assert len(cells(news)) == 8
    sweep = SweepRun(explorer, head[1], plan.base, plan.points, busy=lambda: True)
    steps = sweep.steps()
    assert next(steps) == WAITS
    sweep.cancel()
    assert list(steps) == []


def test_done_points_are_kept_by_scan_label_and_settings(plan):
    done = DonePoints()
    done.add("a", None, plan.keys[0], {"findings": 2.0})
    done.add("a", "truth", plan.keys[0], {"findings": 2.0, "voxel_ap": 0.5})
    assert done.of("a", None, plan.keys[0]) == {"findings": 2.0}
    assert done.of("a", "truth", plan.keys[0]) == {"findings": 2.0, "voxel_ap": 0.5}
    assert done.of("a", "another", plan.keys[0]) == {"findings": 2.0}
    assert done.of("b", "truth", plan.keys[0]) == done.of("a", None, plan.keys[1]) == {}
