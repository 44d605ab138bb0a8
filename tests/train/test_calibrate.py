"""Healthy tables of Baur's post-processing, and the preset that uses them."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.calibration import LEVELS
from napari_vqad.detectors.presets import PRESETS, preset_named
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.imaging.layout import to_grid
from napari_vqad.scores.components import count
from napari_vqad.scores.pooling import pool
from napari_vqad.train.added_tables import with_added_tables
from napari_vqad.train.calibrate import calibrate
from napari_vqad.train.data import Stack

BAUR = PRESETS["Baur 2018"]


@pytest.fixture
def grid(head, tiny_pca):
    spec = Bundle.load(tiny_pca, "cpu").config.grid
    return next(Stack.of([to_grid(*head, spec)], spec).grids(spec))  # in the precision of packed slices


@pytest.fixture
def calibrated(tiny_pca, grid, tmp_path):
    """The linear bundle, calibrated on two heads."""
    folder = shutil.copytree(tiny_pca, tmp_path / "calibrated")
    bundle, silent = Bundle.load(folder, "cpu"), lambda _: None
    stack = Stack.of([grid, grid], bundle.config.grid)
    found, _ = calibrate(bundle, stack, silent)
    found = with_added_tables(replace(bundle, calibration=found), stack, lambda _: training(stack), silent)
    (folder / "calibration.json").write_text(found.model_dump_json(exclude={"slices", "slice_nll"}))
    (folder / "slices.json").write_text(
        json.dumps({"weights": bundle.weights, "slice_nll": None, "slices": found.slices})
    )
    return Bundle.load(folder, "cpu")


def training(stack):
    """Training scans that differ from the calibration scans: with a little more contrast."""
    return replace(stack, clip=(1.02 * stack.clip[0], 1.02 * stack.clip[1]))


def chain(residual, mask):
    """Steps 1 and 2 of Baur et al. 2018, and where the second leaves something."""
    inner = ndimage.binary_erosion(mask, border_value=1)
    return ndimage.median_filter(residual * mask, 5, mode="nearest") * inner, inner


def test_the_healthy_percentile_is_of_the_scores_after_the_same_steps(calibrated, grid):
    residual = np.abs(grid.slices - calibrated.detector.model.reconstruct(grid.slices)).astype(np.float32)
    score, inner = chain(residual, grid.mask)
    table = calibrated.calibration.pixel_score["pca baur plain"]
    np.testing.assert_allclose(
        table, np.percentile(score[inner], LEVELS), rtol=5e-3, atol=2e-3
    )  # kept in half precision
    assert "pca baur plain" in calibrated.calibration.slices


def test_the_threshold_of_the_preset_is_of_training_scans(calibrated, grid):
    spec = calibrated.config.grid
    other = next(training(Stack.of([grid], spec)).grids(spec))
    residual = np.abs(other.slices - calibrated.detector.model.reconstruct(other.slices)).astype(np.float32)
    score, inner = chain(residual, other.mask)
    limit = calibrated.thresholds(Settings(**BAUR.settings(spec.voxel_ml)))["flag_voxels"]
    assert limit == pytest.approx(np.percentile(score[inner], 98), rel=5e-3)
    assert limit != pytest.approx(calibrated.calibration.pixel_score["pca baur plain"][98], rel=5e-3)


def test_findings_of_the_preset_are_counted_from_its_smallest_size(calibrated, grid):
    residual = np.abs(grid.slices - calibrated.detector.model.reconstruct(grid.slices)).astype(np.float32)
    score = chain(residual, grid.mask)[0].astype(np.float16)
    counts, limits = (getattr(calibrated.calibration, name)["pca baur plain"] for name in ("findings", "pixel_score"))
    at = [i for i, level in enumerate(LEVELS) if level >= 90]
    assert [counts[i] for i in at] == [count(score > limits[i], 6) for i in at]
    assert any(count(score > limits[i], 6) != count(score > limits[i], 10) for i in at)


def test_the_preset_is_the_chain_of_the_paper(calibrated, grid):
    settings = Settings(**BAUR.settings(calibrated.config.grid.voxel_ml))
    rng = np.random.default_rng(0)
    grid.slices[:] = np.where(grid.mask, grid.slices + ndimage.gaussian_filter(rng.normal(size=grid.mask.shape), 1), -2)
    explorer = Explorer(calibrated, settings)
    explorer.load_grid(grid)
    explorer.finish()
    score, _ = chain(explorer.map("residual"), grid.mask)
    np.testing.assert_array_equal(explorer.map("pixel_score"), score)
    flagged = score > calibrated.calibration.value("pixel_score", "t98", kind="pca baur plain")
    pieces, n = ndimage.label(flagged, np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(flagged, pieces, range(n + 1))
    assert (sizes[1:] < 6).any()
    assert (sizes[1:] >= 6).any()
    np.testing.assert_array_equal(explorer.map("flagged"), (sizes >= 6)[pieces] & flagged)


def test_a_bundle_of_an_earlier_calibration_says_so(tiny_pca, head, capsys, tmp_path):
    bundle = Bundle.load(tiny_pca, "cpu")
    assert "baur" not in bundle.choices["pooling"]
    assert bundle.coerce(Settings(pooling="baur")).pooling == "smooth"
    said = r"without pooling 'baur'; run 'napari-vqad calibrate .* --missing'\."
    with pytest.raises(InputError, match=said + "$"):
        bundle.validated(Settings(pooling="baur"))
    (sentence,) = bundle.replaced(Settings(pooling="baur"))
    assert re.search(said + r" Pooling 'smooth' is used\.$", sentence)
    assert bundle.replaced(Settings()) == []


def test_a_percentile_of_training_scans_needs_their_table(calibrated):
    asked = Settings(flag_voxels="t98")  # with pooling smooth
    with pytest.raises(InputError, match="has no table of training scans for this pooling"):
        calibrated.validated(asked)
    assert calibrated.coerce(asked).flag_voxels == "p98"
    assert calibrated.replaced(asked) == ["Tiny, PCA has no table of training scans; voxels are flagged at p98."]
    for wrong in ("t101", "t", "t-1"):
        with pytest.raises(ValueError, match="a threshold is a number"):
            Settings(flag_voxels=wrong)


def test_calibrate_adds_only_what_is_missing(tiny_pca, grid, tmp_path, capsys):
    folder = shutil.copytree(tiny_pca, tmp_path / "earlier")
    spec = Bundle.load(folder, "cpu").config.grid
    before = json.loads((folder / "calibration.json").read_text())
    for split, scans in (("calibration", before["n_scans"]), ("train", 5)):
        Stack.of([grid] * scans, spec).save(tmp_path / f"{split}.npz")
    command = ["calibrate", str(folder), "--data", str(tmp_path), "--missing", "--device", "cpu", "--threads", "1"]
    assert main(command) == 0
    after = json.loads((folder / "calibration.json").read_text())
    for table in ("pixel_score", "findings", "training"):
        known = before.get(table, {})
        assert after[table].keys() - known.keys() == {"pca baur plain"}
        assert {kind: after[table][kind] for kind in known} == known
    bundle = Bundle.load(folder, "cpu")
    assert bundle.validated(Settings(**BAUR.settings(spec.voxel_ml))).flag_voxels == "t98"
    capsys.readouterr()
    content = (folder / "calibration.json").read_bytes()
    assert main(command) == 0  # nothing is missing any more, so no scan is scored
    assert "scan 1" not in capsys.readouterr().out
    assert (folder / "calibration.json").read_bytes() == content
    Stack.of([grid] * (before["n_scans"] + 1), spec).save(tmp_path / "calibration.npz")
    shutil.copytree(tiny_pca, folder, dirs_exist_ok=True)
    assert main(command) == 2
    assert "give the same scans" in capsys.readouterr().err


def test_tables_of_a_part_of_the_methods(tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle, tmp_path / "part")
    known = json.loads((folder / "calibration.json").read_text())
    for table in ("pixel_score", "findings"):
        known[table]["light baur plain"] = known[table]["light smooth plain"]
    (folder / "calibration.json").write_text(json.dumps(known))
    bundle = Bundle.load(folder, "cpu")
    assert bundle.validated(Settings(method="light", pooling="baur")).pooling == "baur"
    with pytest.raises(InputError, match="without pooling 'baur' for anchored; run"):
        bundle.validated(Settings(method="anchored", pooling="baur"))
    assert bundle.coerce(Settings(method="anchored", pooling="baur")).pooling == "smooth"


def test_a_detector_that_draws_restorations_is_calibrated_with_the_minimum_of_each(tiny_bundle, head, tmp_path):
    """Ishii 2023, eq. 12, from the calibration to the pixel score."""
    folder = shutil.copytree(tiny_bundle, tmp_path / "each")
    bundle = Bundle.load(folder, "cpu")
    assert "2d-each" not in bundle.choices["pooling"]
    with pytest.raises(InputError, match="without pooling '2d-each'"):
        bundle.validated(Settings(pooling="2d-each"))
    spec = bundle.config.grid
    grid = next(Stack.of([to_grid(*head, spec)], spec).grids(spec))
    found, _ = calibrate(bundle, Stack.of([grid], spec), lambda _: None, ("anchored",))
    assert {kind for kind in found.pixel_score if " 2d-each " in kind} == {"anchored 2d-each plain"}
    tables = {name: getattr(found, name) for name in ("pixel_score", "findings")}
    known = json.loads((folder / "calibration.json").read_text())
    for name, table in tables.items():
        for method in bundle.detector.variants:
            known[name][f"{method} 2d-each plain"] = table["anchored 2d-each plain"]
    (folder / "calibration.json").write_text(json.dumps(known))
    bundle = Bundle.load(folder, "cpu")  # without "baur", which was not added
    assert {"2d-each", "baur"} & set(bundle.choices["pooling"]) == {"2d-each"}
    scores = {}
    for pooling in ("2d", "2d-each"):
        explorer = Explorer(bundle, Settings(pooling=pooling, score="intensity", n_restorations=3, lambda_p=0.0))
        explorer.load_grid(grid)
        explorer.finish()
        scores[pooling] = explorer.map("pixel_score")
        if pooling == "2d-each":
            difference = grid.slices - np.stack([explorer.map("restoration_j", j) for j in range(3)])
            expected = [
                sum(
                    pool(torch.tensor(w * np.abs(d))[None], torch.tensor(inside)[None], "2d")
                    for w, d in zip(explorer.weights()[:, i], difference[:, i], strict=True)
                )[0]
                for i, inside in enumerate(grid.mask)
            ]
            np.testing.assert_allclose(scores[pooling], np.stack(expected), rtol=1e-3, atol=1e-4)
    assert (scores["2d-each"] <= scores["2d"] + 1e-5).all()
    assert (scores["2d-each"] < scores["2d"] - 1e-3).any()


def test_a_detector_of_one_picture_has_no_sum_over_restorations(calibrated):
    assert "baur" in calibrated.choices["pooling"]
    assert "2d-each" not in calibrated.choices["pooling"]
    with pytest.raises(InputError, match="has no pooling '2d-each'; choose smooth or none"):
        calibrated.validated(Settings(pooling="2d-each"))


def test_score_takes_a_preset_and_flags_come_first(case_folder, calibrated, tmp_path):
    scan, out = case_folder / "case01_t1.nii.gz", tmp_path / "out"
    words = ["score", scan, "-o", out, "--bundle", calibrated.folder, "--mask", case_folder / "case01_mask.nii.gz"]
    assert main([str(w) for w in [*words, "--device", "cpu", "--preset", "baur-2018", "--flag-voxels", "p99"]]) == 0
    settings = json.loads((out / "result.json").read_text())["settings"]
    assert {name: settings[name] for name in ("pooling", "score", "flag_voxels", "min_volume_ml")} == {
        "pooling": "baur",
        "score": "intensity",
        "flag_voxels": "p99",
        "min_volume_ml": 0.384,  # 6 voxels of 4 mm
    }


def test_presets_are_named():
    assert preset_named("baur-2018") is preset_named("Baur 2018") is BAUR
    assert Settings(**PRESETS["Default"].settings(0.008)) == Settings()
    with pytest.raises(InputError, match="no preset 'bauer'; there are default, baur-2018"):
        preset_named("bauer")
