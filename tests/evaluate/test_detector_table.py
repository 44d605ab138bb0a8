"""All detectors on the same labelled scans: measures against their definitions, the bootstrap against a loop."""

import csv
import itertools

import nibabel
import numpy as np
import pytest

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import settings_from
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.case_details import CaseDetails, details_at
from napari_vqad.evaluate.cases import folder_cases, labelled_cases, paired_cases
from napari_vqad.evaluate.metrics import rank
from napari_vqad.evaluate.subject_bootstrap import draws, interval, ranked, ratio


def by_subject(seed=0, cases=(2, 1, 3), n=50):
    rng = np.random.default_rng(seed)
    return {
        f"s{i}": [(np.round(rng.normal(size=n), 1), rng.random(n) < 0.3) for _ in range(count)]
        for i, count in enumerate(cases)
    }


def test_each_round_is_the_ranking_of_the_subjects_drawn():
    found, weights = by_subject(), draws(3, rounds=20)
    rounds = ranked(found, weights)
    for r, drawn in enumerate(weights.astype(int)):
        pairs = [pair for cases, times in zip(found.values(), drawn, strict=True) for pair in cases * times]
        scores, labels = (np.concatenate(part) for part in zip(*pairs, strict=True))
        exact = rank(scores, labels)
        assert (rounds.auroc[r], rounds.ap[r], rounds.dice[r]) == pytest.approx((exact.auroc, exact.ap, exact.dice))


def test_a_score_without_voxels_has_no_measure():
    found = by_subject()
    found["s1"][0] = (np.full(50, np.nan), found["s1"][0][1])
    assert all(np.isnan(values).all() for values in ranked(found, draws(3, rounds=5)))
    assert np.isnan(interval(np.full(5, np.nan))).all()


def test_ratio_is_of_the_sums():
    weights = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    found = ratio(np.array([1.0, 3.0]), np.array([2.0, 2.0]), weights)
    assert found[:2] == pytest.approx([1.0, 0.5])
    assert np.isnan(found[2])


def test_details_are_those_of_the_flagged_voxels(tiny_bundle, case_folder):
    bundle = Bundle.load(tiny_bundle, "cpu")
    explorer = Explorer(bundle, settings_from({"n_restorations": 1}))
    case = next(c for c in folder_cases(case_folder, bundle.config.grid) if c.label.any())
    explorer.load_grid(case.grid)
    explorer.finish()
    found = CaseDetails.of_vector(details_at("p50", "1/1")(case, explorer))
    explorer.change(explorer.settings.model_copy(update={"flag_voxels": "p50"}))
    flagged = case.grid.to_scan(explorer.map("flagged"), order=0)[case.counted] > 0
    truth = case.truth[case.counted]
    assert found.dice == pytest.approx(2 * (flagged & truth).sum() / (flagged.sum() + truth.sum()))
    assert (found.flagged, found.positives) == (flagged.sum(), truth.sum())
    assert 0 <= found.found <= found.lesions == 1
    on_grid = explorer.map("flagged") > 0
    pairs = list(itertools.pairwise(on_grid))
    assert found.shared == sum(2 * (one & other).sum() for one, other in pairs) > 0
    assert found.paired == sum(one.sum() + other.sum() for one, other in pairs)
    score, mask = explorer.map("pixel_score"), case.grid.mask
    clear, positive = case.of_slices()
    each = [rank(score[i][mask[i]], case.label[i][mask[i]] > 0.5).ap for i in np.flatnonzero(clear & positive)]
    assert found.image_ap == pytest.approx(each)


def test_a_case_without_pixel_scores():
    found = CaseDetails.of_vector(np.zeros(0))
    assert np.isnan(found.dice)
    assert len(found.image_ap) == 0


def test_pairs_of_scan_and_label(tiny_bundle, case_folder, tmp_path):
    spec = Bundle.load(tiny_bundle, "cpu").config.grid
    abnormal = next(c for c in folder_cases(case_folder, spec) if c.label.any())
    (case_folder / "cases.csv").unlink()
    found = {case.subject: case for case in labelled_cases(case_folder, spec)}
    assert set(found) == {"case00", "case01"}
    assert (found[abnormal.name].label == abnormal.label).all()
    assert abnormal.beyond is None
    assert not any(case.beyond.any() for case in found.values())
    with pytest.raises(InputError, match="has no case other"):
        list(labelled_cases(case_folder, spec, names=["other"]))
    with pytest.raises(InputError, match="scans with labels"):
        list(paired_cases(tmp_path / "none", spec))


def test_labelled_voxels_beyond_the_mask_are_missed(tiny_bundle, case_folder):
    bundle = Bundle.load(tiny_bundle, "cpu")
    abnormal = next(c for c in folder_cases(case_folder, bundle.config.grid) if c.label.any())
    mask_file = case_folder / f"{abnormal.name}_mask.nii.gz"
    image = nibabel.load(mask_file)
    inside = np.asarray(image.dataobj) > 0
    lost = abnormal.truth & (np.cumsum(abnormal.truth).reshape(abnormal.truth.shape) % 2 == 0)  # half of the lesion
    assert lost.shape == inside.shape
    nibabel.save(nibabel.Nifti1Image((inside & ~lost).astype(np.uint8), image.affine), mask_file)
    (case_folder / "cases.csv").unlink()
    case = next(c for c in paired_cases(case_folder, bundle.config.grid) if c.subject == abnormal.name)
    assert case.beyond.sum() == lost.sum() > 0
    stack = np.random.default_rng(0).normal(size=case.grid.mask.shape).astype(np.float32) - 1
    values = case.on_truth(stack * case.grid.mask)
    assert (values[case.beyond[case.counted]] == values.min()).all()
    assert values.min() < 0
    assert len(values) == case.counted.sum() == (inside | abnormal.truth).sum()


def test_the_command_writes_table_csv_and_figure(case_folder, tiny_bundle, tiny_pca, tmp_path, capsys):
    folder, out, keep = case_folder, tmp_path / "out", tmp_path / "keep"
    command = ["evaluate", "table", "--data", str(folder), "-o", str(out), "--keep", str(keep), "-S", "1"]
    command += ["--bundles", str(tiny_bundle), str(tiny_pca), "--methods", "regenerative", "pca", "sample-wise"]
    assert main([*command, "--threads", "1", "--device", "cpu"]) == 0
    assert "Difference from" in capsys.readouterr().out
    rows = list(csv.DictReader((out / "table.csv").open(encoding="utf-8")))
    assert {row["family"] for row in rows} == {"vector-quantised", "classical"}
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert set(first) == {"table.md", "table.csv", "table.png"}
    assert main([*command, "--threads", "1", "--device", "cpu"]) == 0  # from what is kept
    assert (out / "table.csv").read_bytes() == first["table.csv"]
    assert main([*command, "--rate", "p98"]) == 2
    assert "--rate is false findings" in capsys.readouterr().err
