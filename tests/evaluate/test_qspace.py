"""`evaluate qspace`: AUC of novelty scores on simulated lesions."""

import json

import numpy as np
import pytest

from napari_vqad.cli import main
from napari_vqad.evaluate import qspace
from napari_vqad.evaluate.qspace import Case, Results, centres_in, evaluate, interval, slabs
from napari_vqad.evaluate.qspace_command import tables
from napari_vqad.simulate.diffusion import Lesion, scheme, simulated_head
from napari_vqad.simulate.diffusion_sample import write
from napari_vqad.train.qspace_data import NormalScan

QUICK = qspace.SCHEDULE.model_copy(update={"steps": 60, "validate_every": 60})
SCORES = ("input_distance", "latent_distance")


@pytest.fixture(scope="module")
def head():
    return simulated_head(scheme(2, 8, 1000.0), (10, 15, 11), 14.0, seed=4)


def test_strong_lesions_are_found_and_none_is_not(head):
    lesions = {"none": Lesion(), "strong": Lesion(diffusivity=3.0, anisotropy=0.1)}
    scan = NormalScan(head.volume, head.brain, head.brain)
    found = evaluate([scan], lesions, 20.0, ["8"], SCORES, QUICK, report=lambda _: None)
    assert len(found.cases) == 6
    assert {case.slab for case in found.cases} == {0, 1, 2}
    assert found.kinds() == ["none", "strong"]
    assert found.auc["8", "strong", "input_distance"].mean() > 0.8
    assert found.auc["8", "strong", "input_distance"].mean() > found.auc["8", "none", "input_distance"].mean() + 0.1
    assert all(values.shape == (6,) for values in found.auc.values())


def test_slabs_divide_the_normal_voxels(head):
    parts = slabs(head.brain)
    assert np.array_equal(np.sum(parts, 0), head.brain)
    assert [np.ptp(np.flatnonzero(p.any((0, 2)))) < 5 for p in parts] == [True] * 3  # along the longest axis
    centres = centres_in(parts[1], head.volume.spacing, 20.0, 0)
    assert len(set(centres)) == 2
    assert all(parts[1][c] for c in centres)


def test_the_interval_is_of_the_mean():
    values = np.random.default_rng(0).normal(0.8, 0.05, 50)
    mean, low, high = interval(values)
    assert mean == pytest.approx(values.mean())
    assert low == pytest.approx(mean - 1.96 * values.std() / np.sqrt(50), abs=0.004)
    assert high == pytest.approx(mean + 1.96 * values.std() / np.sqrt(50), abs=0.004)


def test_the_tables_compare_with_the_baseline():
    cases = tuple(Case("a", i, (0, 0, 0)) for i in range(4))
    auc = {
        (shape, "both", name): np.full(4, value)
        for shape, name, value in (
            ("8", "input_distance", 0.7),
            ("8", "elbo", 0.6),
            ("16", "input_distance", 0.7),
            ("16", "elbo", 0.8),
        )
    }
    text = tables(Results(cases, auc), ["8", "16"])
    assert "| N_−ELBO (20) | 0.600 (0.600 to 0.600) | 0.800 (0.800 to 0.800) | +0.100 (+0.100 to +0.100) |" in text
    assert "By kind of lesion, dim z 16" in text
    assert "| N_x−y | 0.700 (0.700 to 0.700) | 0.700 (0.700 to 0.700) |  |" in text


def test_the_command_prints_tables(head, tmp_path, capsys, monkeypatch):
    write(tmp_path, "scan", head, "mask")
    monkeypatch.setattr(
        "napari_vqad.evaluate.qspace_command.evaluate",
        lambda scans, lesions, mm, shapes, report: evaluate(
            scans, {"both": lesions["both"]}, 20.0, shapes, SCORES, QUICK, report=report
        ),
    )
    words = ["evaluate", "qspace", "--data", str(tmp_path), "--shapes", "8", "--json", str(tmp_path / "auc.json")]
    assert main([*words, "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "Mean AUC over 6 balls and 1 kinds of lesions" in out
    assert "| N_q̄−q̄y (3) |" in out
    assert len(json.loads((tmp_path / "auc.json").read_text())["8 both latent_distance"]) == 6
