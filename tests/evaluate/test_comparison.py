"""Tokenizers × priors: every bundle by what it knows, thresholds from validation alone."""

import json
import shutil

import numpy as np
import pytest
import torch

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.bundles import named
from napari_vqad.evaluate.cases import folder_cases
from napari_vqad.evaluate.comparison import _line, scan_table
from napari_vqad.evaluate.experiment import Collected
from napari_vqad.evaluate.metrics import at_threshold, rank
from napari_vqad.evaluate.tuning import tuned_by
from napari_vqad.evaluate.variants import check_methods, method_variants, methods_of
from napari_vqad.imaging.layout import to_grid
from napari_vqad.train.data import Stack


def collected(scores, answers):
    pairs = [(np.array(scores, float), np.array(answers, bool))]
    scans = {"w": [(4.0, True), (1.0, False), (3.0, True), (3.5, False)]}
    return Collected(
        {("w", "normal"): pairs}, {("w", "normal"): pairs}, scans, ["normal"], seconds={"w": 3.0}, n_slices=6
    )


def test_the_threshold_is_that_of_validation(tiny_bundle):
    bundle = Bundle.load(tiny_bundle, "cpu")
    # On validation the upper 20 % are positive, on the test the upper half: 79 is chosen although 49 would do better.
    tuned = collected(np.arange(100), np.arange(100) >= 80)
    found = collected(np.arange(100), np.arange(100) >= 50)
    line = _line(bundle, "w", "w", tuned, found, None)
    assert line.at == at_threshold(np.arange(100), np.arange(100) >= 50, 79)
    assert line.at.balanced < line.best.balanced == 1
    assert line.seconds == 0.5
    assert line.slices == rank(np.arange(100), np.arange(100) >= 50)
    assert line.scans.auroc == 0.75  # of four pairs of scans with and without, three are in order
    assert line.n_scans == (2, 2)
    assert line.scans_interval == (0.0, 1.0)
    assert "2 scans with and 2 without an anomaly" in scan_table([line])


def test_at_threshold_counts():
    found = at_threshold([0, 1, 2, 3], [False, True, False, True], 1.5)  # one hit, one miss, one false
    assert found.f1 == pytest.approx(0.5)
    assert found.balanced == pytest.approx(0.5)
    assert at_threshold([0, 1, 2], [False, True, True], 0.5).f1 == 1
    assert np.isnan(at_threshold([0.0], [False], 0.5).f1)


def test_every_bundle_of_a_folder(tiny_bundle, tiny_masked, case_folder, head, tmp_path, capsys, monkeypatch):
    laid = []

    def counted(*args):
        laid.append(args)
        return folder_cases(*args)

    monkeypatch.setattr("napari_vqad.evaluate.cli.folder_cases", counted)
    models, packed = tmp_path / "models", tmp_path / "packed"
    packed.mkdir()
    for folder in (tiny_bundle, tiny_masked):
        shutil.copytree(folder, models / folder.name)
    spec = Bundle.load(tiny_bundle, "cpu").config.grid
    Stack.of([to_grid(*head, spec)], spec).save(packed / "validation.npz")
    words = ["evaluate", "grid", models, "--data", case_folder, "--validation", packed, "-S", 2, "--device", "cpu"]
    assert main([str(w) for w in [*words, "--json", tmp_path / "lines.json"]]) == 0
    printed = capsys.readouterr().out
    lines = json.loads((tmp_path / "lines.json").read_text())
    done = {(line["bundle"], line["method"]) for line in lines}
    assert done == {
        *(("Tiny", m) for m in ("sample-wise", "anchored", "sequential", "light", "regenerative")),
        *(("Tiny, masked", m) for m in ("sample-wise", "masked", "regenerative")),
    }
    assert len(laid) == 1, "cases are laid on the grid once for bundles that share it"
    assert all(line["seconds"] > 0 and line["tuning"] is None for line in lines)
    assert "| Tiny, masked | masked |" in printed
    bundle = Bundle.load(tiny_bundle, "cpu")
    settings = bundle.validated(settings_from({"lambda_s": "p98"}))
    explorer, totals = Explorer(bundle, settings), {True: [], False: []}
    for case in folder_cases(case_folder, bundle.config.grid, bundle.template):
        explorer.load_grid(case.grid)
        explorer.finish()
        totals[case.kind != "normal"].append(explorer.volume_score())
    line = next(line for line in lines if (line["bundle"], line["method"]) == ("Tiny", "sample-wise"))
    truth = [True] * len(totals[True]) + [False] * len(totals[False])
    assert line["scans"]["auroc"] == rank(totals[True] + totals[False], truth).auroc
    assert f"of {len(totals[True])} scans with and {len(totals[False])} without" in printed


def test_bundles_are_found_by_name_or_folder_and_unknown_ones_are_named(tiny_bundle, case_folder, tmp_path, capsys):
    """A name that was mistyped must not end in a table without that bundle."""
    models = tmp_path / "models"
    shutil.copytree(tiny_bundle, models / "mine")
    args = ["evaluate", "grid", str(models), "--data", str(case_folder), "--validation", str(tmp_path), "--bundles"]
    assert main([*args, "mine", "mien"]) == 2
    assert "mien" in capsys.readouterr().err
    assert named("mine", models) == models / "mine"
    assert named(str(tiny_bundle), models) == tiny_bundle


def test_a_folder_without_bundles(tmp_path, case_folder, capsys):
    words = ["evaluate", "grid", tmp_path, "--data", case_folder, "--validation", tmp_path]
    assert main([str(w) for w in words]) == 2
    assert "holds no bundles" in capsys.readouterr().err


def test_a_method_that_no_bundle_has_is_refused_before_the_work(tiny_bundle, tiny_pca):
    bundles = [Bundle.load(folder, "cpu") for folder in (tiny_bundle, tiny_pca)]
    check_methods(bundles, ["light", "pca", "sample-wise"])
    with pytest.raises(InputError, match="None of the models has a method 'lihgt'; their methods are sample-wise, "):
        check_methods(bundles, ["light", "lihgt"])


def test_the_loss_of_the_networks_scores_slices(tiny_bundle, case_folder):
    """Mean |Y − X| and twice the mean ‖z − e‖², slice by slice (Marimont & Tarroni 2020)."""
    bundle = Bundle.load(tiny_bundle, "cpu")
    detector, case = bundle.detector, next(folder_cases(case_folder, bundle.config.grid, bundle.template))
    grid, network = case.grid, bundle.detector.tokenizer
    (way,) = method_variants(detector, methods_of(detector, ["VQ-VAE loss"]), False)
    explorer = Explorer(bundle, Settings())
    explorer.load_grid(grid)
    _, found = way.score(explorer, Settings(), None)
    with torch.inference_mode():
        slices, position = torch.from_numpy(grid.slices)[:, None], torch.from_numpy(grid.position)
        latents = network.encoder(slices, network.position(position))
        codes = network.codebook.nearest(latents)
        apart = ((latents - network.codebook.lookup(codes)) ** 2).mean((1, 2, 3))
        wrong = (network.decode(codes, position) - slices).abs().mean((1, 2, 3))
    np.testing.assert_allclose(found, (wrong + 2 * apart).numpy(), rtol=1e-4)
    assert tuned_by(detector, way) is None
    assert "VQ-VAE loss" not in methods_of(detector)
