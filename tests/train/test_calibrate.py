"""Healthy tables of Baur's post-processing, and the preset that uses them."""

import json
import shutil

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.calibration import LEVELS
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.imaging.layout import to_grid
from napari_vqad.scores.pooling import pool
from napari_vqad.settings import PRESETS, preset_named
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
    bundle = Bundle.load(folder, "cpu")
    found, _ = calibrate(bundle, Stack.of([grid, grid], bundle.config.grid), lambda _: None)
    (folder / "calibration.json").write_text(found.model_dump_json(exclude={"slices", "slice_nll"}))
    (folder / "slices.json").write_text(
        json.dumps({"weights": bundle.weights, "slice_nll": None, "slices": found.slices})
    )
    return Bundle.load(folder, "cpu")


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


def test_the_preset_is_the_chain_of_the_paper(calibrated, grid):
    settings = Settings(**BAUR.settings(calibrated.config.grid.voxel_ml))
    rng = np.random.default_rng(0)
    grid.slices[:] = np.where(grid.mask, grid.slices + ndimage.gaussian_filter(rng.normal(size=grid.mask.shape), 1), -2)
    explorer = Explorer(calibrated, settings)
    explorer.load_grid(grid)
    explorer.finish()
    score, _ = chain(explorer.map("residual"), grid.mask)
    np.testing.assert_array_equal(explorer.map("pixel_score"), score)
    flagged = score > calibrated.calibration.value("pixel_score", "p98", kind="pca baur plain")
    pieces, n = ndimage.label(flagged, np.ones((3, 3, 3)))
    sizes = ndimage.sum_labels(flagged, pieces, range(n + 1))
    assert (sizes[1:] < 6).any()
    assert (sizes[1:] >= 6).any()
    np.testing.assert_array_equal(explorer.map("flagged"), (sizes >= 6)[pieces] & flagged)


def test_a_bundle_of_an_earlier_calibration_says_so(tiny_pca, head, capsys, tmp_path):
    bundle = Bundle.load(tiny_pca, "cpu")
    assert "baur" not in bundle.choices["pooling"]
    assert bundle.coerce(Settings(pooling="baur")).pooling == "smooth"
    with pytest.raises(InputError, match=r"without pooling 'baur'; run 'napari-vqad calibrate .*'\.$"):
        bundle.validated(Settings(pooling="baur"))


def test_tables_of_a_part_of_the_methods_are_refused(tiny_bundle, tmp_path):
    folder = shutil.copytree(tiny_bundle, tmp_path / "part")
    known = json.loads((folder / "calibration.json").read_text())
    for table in ("pixel_score", "findings"):
        known[table]["light baur plain"] = known[table]["light smooth plain"]
    (folder / "calibration.json").write_text(json.dumps(known))
    with pytest.raises(InputError, match="do not agree on 'anchored baur plain'"):
        Bundle.load(folder, "cpu")


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
