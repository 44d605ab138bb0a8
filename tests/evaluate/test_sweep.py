"""Every point of a grid of settings, and the best one as a file that `score` reads."""

import json

import numpy as np
import pytest

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings, read_settings
from napari_vqad.errors import InputError
from napari_vqad.evaluate import ped2, sweep
from napari_vqad.evaluate.experiment import collect
from napari_vqad.evaluate.metrics import at_best, rank
from napari_vqad.evaluate.variants import SAMPLE, Variant

SETTINGS = Settings(n_restorations=2, pooling="2d")


@pytest.fixture(scope="module")
def bundle(tiny_clips):
    return Bundle.load(tiny_clips, "cpu")


@pytest.fixture
def cases(bundle, clip_folder):
    return list(ped2.clip_cases(clip_folder, "validation", bundle.config.grid))


def quiet(_line):
    pass


def test_a_point_is_what_its_settings_give(bundle, cases):
    grid = {"lambda_p": ["p20", 3.0], "n_restorations": [1, 2], "k": [0.0]}
    points = sweep.sweep(bundle, cases, SETTINGS, "light", grid, report=quiet)
    assert [tuple(p.given.values()) for p in points] == [("p20", 1, 0), ("p20", 2, 0), (3.0, 1, 0), (3.0, 2, 0)]
    assert points[0].updates["lambda_p"] == bundle.calibration.value("nll", "p20")
    way = Variant("w", updates={"method": "light", "lambda_p": 3.0, "n_restorations": 2, "k": 0.0})
    found = collect(bundle, cases, SETTINGS, [way], report=quiet).of("slices", "w")
    assert points[3].slices == rank(*found)
    assert points[3].best == at_best(*found)


def test_percentiles_of_all_codes(bundle, cases):
    points = sweep.sweep(bundle, cases, SETTINGS, SAMPLE, {"lambda_s": ["p60"]}, of_all=True, report=quiet)
    detector = bundle.detector
    nll = [detector.nll(detector.encode(c.grid.slices, c.grid.position), c.grid.position).ravel() for c in cases]
    assert points[0].updates["lambda_s"] == pytest.approx(np.percentile(np.concatenate(nll), 60), rel=1e-5)


@pytest.mark.parametrize(
    ("method", "name"), [(SAMPLE, "lambda_p"), ("light", "lambda_s"), ("regenerative", "lambda_p")]
)
def test_what_changes_nothing_is_refused(bundle, cases, method, name):
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} changes nothing of {method} scores"):
        sweep.sweep(bundle, cases, SETTINGS, method, {name: [1.0]}, report=quiet)
    with pytest.raises(InputError, match="lambda-s does not fit"):
        sweep.sweep(bundle, cases, SETTINGS, SAMPLE, {"lambda_s": ["x"]}, report=quiet)


def test_the_command_prints_draws_writes_and_goes_on(tiny_clips, clip_folder, tmp_path, capsys, monkeypatch):
    words = ["evaluate", "sweep", tiny_clips, "--data", clip_folder, "--method", "light", "--lambda-p", "p20", "p80"]
    words += ["-S", 1, 2, "--of", "all", "--keep", tmp_path / "keep", "--device", "cpu", "--threads", 1]
    words += ["--plot", tmp_path / "sweep.png", "--write", tmp_path / "best.json"]
    assert main([str(w) for w in words]) == 0
    first = capsys.readouterr().out.split("\n\n", 1)[1]
    assert first.count("| lambda_p p") + first.count("| **lambda_p p") == 4
    assert "Best by best balanced accuracy on the validation part of ped2" in first
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    chosen = read_settings(tmp_path / "best.json")
    assert chosen["method"] == "light"
    assert isinstance(chosen["lambda_p"], float)
    assert json.loads((tmp_path / "best.json").read_text())["by"] == "best balanced accuracy"
    monkeypatch.setattr(Variant, "score", lambda *_: pytest.fail("it was measured before"))
    assert main([str(w) for w in words]) == 0
    assert capsys.readouterr().out.split("\n\n", 1)[1] == first


def test_heads_of_a_folder_of_cases(tiny_bundle, case_folder, capsys):
    words = ["evaluate", "sweep", tiny_bundle, "--data", case_folder, "--method", SAMPLE, "--lambda-s", "p20", "2.5"]
    assert main([str(w) for w in [*words, "--by", "slice-auroc", "--device", "cpu", "--threads", 1]]) == 0
    printed = capsys.readouterr().out
    assert "lambda_s 2.5" in printed
    assert f"Best by slice AUROC on the cases of {case_folder.name}" in printed


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Give either --data with labelled cases, or --scan with one scan."),
        (("--data", "x", "--scan", "y"), "Give either --data with labelled cases, or --scan with one scan."),
        (("--data", "x"), "--data needs one --method"),
        (("--data", "x", "--method", "light", "--seed", "1", "2"), "--seed takes one value with --data"),
        (("--data", "x", "--method", "light", "--csv", "t.csv"), "--csv is for --scan"),
        (("--scan", "x", "--plot", "t.png"), "--plot is for --data"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(tiny_bundle, words, sentence, capsys):
    assert main(["evaluate", "sweep", str(tiny_bundle), *words]) == 2
    assert sentence in capsys.readouterr().err


def test_a_scan_is_swept_over_settings_of_any_kind(tiny_bundle, case_folder, tmp_path, capsys):
    scan, mask, label = (str(case_folder / f"case01_{what}.nii.gz") for what in ("t1", "mask", "label"))
    words = ["evaluate", "sweep", str(tiny_bundle), "--scan", scan, "--mask", mask, "--label", label, "--device", "cpu"]
    words += ["--method", "light", "anchored", "--pooling", "2d", "smooth", "-S", "1", "--csv", str(tmp_path / "t.csv")]
    assert main(words) == 0
    assert "describe this scan alone" in capsys.readouterr().out
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0].startswith("method,pooling,flagged_ml,")
    assert [line.split(",")[:2] for line in lines[1:]] == [
        ["light", "2d"],
        ["light", "smooth"],
        ["anchored", "2d"],
        ["anchored", "smooth"],
    ]
    assert main([*words, "--lambda-s", "p20", "p50", "--method", "regenerative", "--lambda-p", "1", "2"]) == 2
    assert "--lambda-p changes nothing" in capsys.readouterr().err
