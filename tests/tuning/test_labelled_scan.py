"""Counts of an analysed scan with labels: as `evaluate` counts the same case, and again when settings change."""

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import settings_from
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.case_details import CaseDetails, details_at
from napari_vqad.evaluate.cases import labelled_case
from napari_vqad.evaluate.metrics import rank
from napari_vqad.tuning.binned import bins_of, lowest
from napari_vqad.tuning.figures import Figures, trouble
from napari_vqad.tuning.labelled_scan import LabelledScan
from napari_vqad.tuning.pool import Pool
from napari_vqad.tuning.truth import Truth


@pytest.fixture
def label(head):
    """Two lesions of a head, one of which reaches beyond the brain mask."""
    _volume, mask = head
    found = np.zeros(mask.shape, bool)
    found[12:18, 14:20, 12:18] = True
    found[:8, 15:17, 13:15] = True
    assert (found & ~mask).any()
    return found


@pytest.fixture
def explorer(tiny_bundle, head):
    found = Explorer(Bundle.load(tiny_bundle, "cpu"), settings_from({"n_restorations": 1, "flag_voxels": "p60"}))
    found.load_scan(*head)
    found.finish()
    return found


def test_counts_are_those_of_evaluate(explorer, head, label):
    """The labels beyond the mask count as missed there, too."""
    found = LabelledScan(explorer, Truth(label, "a layer"), head[1]).measure(explorer)
    case = labelled_case("scan", explorer.grid, head[1], label)
    scores, answers = case.on_truth(explorer.map("pixel_score")), case.truth[case.counted]
    figures = Figures.of([found])
    exact = rank(lowest(bins_of(scores)), answers)
    assert vars(figures.voxels.ranking) == pytest.approx(vars(exact), abs=1e-4)
    assert vars(figures.voxels.ranking) == pytest.approx(vars(rank(scores, answers)), abs=0.01)
    clear, positive = case.of_slices()
    assert figures.slices.ranking == rank(explorer.slice_scores()[clear], positive[clear])
    details = CaseDetails.of_vector(details_at("p60", "p60")(case, explorer))
    assert found.lesions == (details.lesions, details.found, details.false)
    assert found.lesions.lesions == 2
    assert found.image_ap == pytest.approx(details.image_ap)
    assert (found.labelled, found.beyond) == (label.sum(), (label & ~head[1]).sum())
    assert "outside the brain mask; they count as missed" in trouble([found])


def test_only_what_changed_is_counted_again(explorer, head, label):
    scan = LabelledScan(explorer, Truth(label, "a layer"), head[1])
    first = scan.measure(explorer)
    assert scan.measure(explorer) is first
    explorer.change(explorer.settings.model_copy(update={"flag_voxels": "p90"}))
    second = scan.measure(explorer)
    assert second.voxels is first.voxels
    assert second.lesions.found <= first.lesions.found
    explorer.change(explorer.settings.model_copy(update={"pooling": "none"}))
    assert scan.measure(explorer).voxels is not first.voxels


def test_a_range_of_slices_is_counted_alone(explorer, head, label):
    whole = LabelledScan(explorer, Truth(label, "a layer"), head[1])
    numbers = explorer.grid.mask.any((1, 2)).nonzero()[0]
    explorer.change(explorer.settings.model_copy(update={"slices": (int(numbers[2]), int(numbers[-3]))}))
    assert not whole.fits(explorer, whole.truth, whole.mask)
    part = LabelledScan(explorer, whole.truth, whole.mask)
    assert part.fits(explorer, whole.truth, whole.mask)
    found, all_of_it = part.measure(explorer), whole.measure(explorer)
    assert len(found.slices) <= explorer.n_slices < explorer.grid.mask.any((1, 2)).sum()
    assert 0 < found.voxels.negatives.sum() < all_of_it.voxels.negatives.sum()
    outside = explorer.grid.to_scan(np.broadcast_to(explorer.chosen()[:, None, None], explorer.grid.mask.shape) * 1, 0)
    assert found.labelled == (label & (outside > 0)).sum()


@pytest.mark.parametrize(
    ("which", "words"),
    [("none", "No analysed voxel"), ("all", "All voxels in the brain"), ("outside", "outside the brain mask of this")],
)
def test_labels_without_figures_say_so(explorer, head, which, words):
    mask = head[1]
    label = {"none": np.zeros_like(mask), "all": mask, "outside": ~mask}[which]
    found = LabelledScan(explorer, Truth(label, "a layer"), mask).measure(explorer)
    assert words in trouble([found])
    figures = Figures.of([found])
    if which != "outside":  # those count as missed
        assert np.isnan(figures.voxels.ranking.auroc)
        assert not figures.slices.known


def test_a_lesion_too_small_for_a_slice(explorer, head):
    label = np.zeros_like(head[1])
    label[14:16, 15:17, 13:15] = True
    found = LabelledScan(explorer, Truth(label, "a layer"), head[1]).measure(explorer)
    assert "No slice has 10 labelled voxels" in trouble([found])
    assert not np.isnan(Figures.of([found]).voxels.ranking.auroc)


def test_the_pool_is_all_scans_together(explorer, head, label):
    mask, pool = head[1], Pool()
    scans = []
    for shift in (0, 2):
        truth = Truth(np.roll(label, shift, 1), "a layer")
        scans.append(LabelledScan(explorer, truth, mask).measure(explorer))
        pool.add(f"scan {shift}", scans[-1], explorer)
    pool.add("scan 2", scans[-1], explorer)  # again: it is replaced
    assert pool.counts == scans
    together = Figures.of(pool.counts)
    case = [labelled_case("scan", explorer.grid, mask, np.roll(label, shift, 1)) for shift in (0, 2)]
    parts = [(c.on_truth(explorer.map("pixel_score")), c.truth[c.counted]) for c in case]
    scores, answers = (np.concatenate(part) for part in zip(*parts, strict=True))
    exact = rank(lowest(bins_of(scores)), answers)
    assert vars(together.voxels.ranking) == pytest.approx(vars(exact), abs=1e-4)
    assert together.lesions == tuple(np.add(scans[0].lesions, scans[1].lesions))
    explorer.change(explorer.settings.model_copy(update={"flag_voxels": "p95"}))
    assert pool.outdated(explorer) == ""
    pool.add("scan 2", scans[1], explorer)
    assert Figures.of(pool.counts).lesions is None  # flagged with different settings
    explorer.change(explorer.settings.model_copy(update={"pooling": "none"}))
    assert pool.outdated(explorer) == "Pooling"
    with pytest.raises(InputError, match="another Pooling"):
        pool.add("scan 3", scans[0], explorer)


def test_a_model_of_slices_alone(explorer, head, label, monkeypatch):
    monkeypatch.setattr(type(explorer.detector), "scored", None)
    found = LabelledScan(explorer, Truth(label, "a layer"), head[1]).measure(explorer)
    figures = Figures.of([found])
    assert figures.voxels is None
    assert figures.lesions is None
    assert figures.clickable is figures.slices
