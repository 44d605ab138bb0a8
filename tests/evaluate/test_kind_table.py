"""Measures by kind of anomaly: those of the scans of the kind and of the scans without an anomaly."""

import csv
import shutil

import numpy as np
import pytest

from napari_vqad.cli import main
from napari_vqad.evaluate.experiment import CaseScores
from napari_vqad.evaluate.kind_table import of_kinds
from napari_vqad.evaluate.metrics import rank
from napari_vqad.evaluate.subject_bootstrap import draws


def case(kind, subject, seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(40) < (0 if kind == "normal" else 0.3)
    scores = np.round(rng.normal(size=40) + labels, 1)
    return CaseScores(kind, subject, (scores, labels), (scores[:10], labels[:10]), np.zeros(0))


CASES = [
    case("normal", "a", 0),
    case("normal", "b", 1),
    case("disc", "a", 2),
    case("sink", "c", 3),
    case("disc", "c", 4),
]


def test_a_kind_is_ranked_with_the_scans_without_an_anomaly():
    weights = draws(3, rounds=30)
    found = of_kinds(CASES, ["a", "b", "c"], weights, voxels=True)
    assert list(found) == ["disc", "sink"]
    for kind in found:
        counted = [c for c in CASES if c.kind in (kind, "normal")]
        scores, labels = (np.concatenate(part) for part in zip(*(c.voxels for c in counted), strict=True))
        value, rounds = found[kind]["voxel_ap"]
        assert value == pytest.approx(rank(scores, labels).ap)
        for r, drawn in enumerate(weights.astype(int)):
            again = [c.voxels for c in counted for _ in range(drawn["abc".index(c.subject)])]
            if not any(labels.any() for _, labels in again):
                assert np.isnan(rounds[r])
                continue
            scores, labels = (np.concatenate(part) for part in zip(*again, strict=True))
            assert rounds[r] == pytest.approx(rank(scores, labels).ap)


def test_without_scores_of_voxels_slices_are_ranked_alone():
    found = of_kinds(CASES, ["a", "b", "c"], draws(3, rounds=5), voxels=False)
    assert np.isnan(found["disc"]["voxel_ap"][0])
    assert np.isfinite(found["disc"]["slice_auroc"][0])


def test_one_kind_needs_no_table():
    assert of_kinds([c for c in CASES if c.kind != "sink"], ["a", "b", "c"], draws(3, rounds=5), voxels=True) == {}


def test_the_command_writes_the_tables_by_kind(case_folder, tiny_bundle, tiny_pca, tmp_path, capsys):
    for name in ("t1", "mask", "label"):
        shutil.copy(case_folder / f"case01_{name}.nii.gz", case_folder / f"case02_{name}.nii.gz")
    with (case_folder / "cases.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["case02", "other"])
    out = tmp_path / "out"
    command = [
        "evaluate",
        "table",
        "--data",
        str(case_folder),
        "-o",
        str(out),
        "-S",
        "1",
        "--threads",
        "1",
        "--evidence",
    ]
    command += ["--bundles", str(tiny_bundle), str(tiny_pca), "--methods", "regenerative", "pca", "--device", "cpu"]
    assert main(command) == 0
    assert "By kind of anomaly" in capsys.readouterr().out
    assert (out / "kinds.png").stat().st_size > 1000
    rows = list(csv.DictReader((out / "kinds.csv").open(encoding="utf-8")))
    assert {(row["kind"], row["measure"]) for row in rows} == {
        (kind, measure) for kind in ("cube", "other") for measure in ("voxel_ap", "slice_auroc")
    }
    whole = list(csv.DictReader((out / "table.csv").open(encoding="utf-8")))
    for row in rows:  # the two kinds hold the same scan, so each has the AP of the other
        same = [r["value"] for r in rows if (r["method"], r["measure"]) == (row["method"], row["measure"])]
        assert same[0] == same[1]
    assert {row["method"] for row in whole} == {row["method"] for row in rows}
