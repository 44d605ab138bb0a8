"""From packed slices to a bundle that explores a scan, through the real commands."""

from dataclasses import replace

import numpy as np
from commands import run
from scipy.ndimage import zoom
from small_recipe import RECIPE

from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.template import Template
from napari_vqad.resources import models_folder
from napari_vqad.train.training_log import read_history


def test_train_calibrate_explore(data, tmp_path, capsys, healthy):
    out = tmp_path / "small"
    for what in ("tokenizer", "prior"):
        assert run("train", what, "--config", data / "recipe.toml", "--data", data, "--out", out) == 0
    assert run("calibrate", out, "--data", data) == 0
    printed = capsys.readouterr().out
    assert "min left" in printed
    assert (out / ".training" / "prior" / "curves.png").exists()

    bundle = Bundle.load(out, "cpu")
    calibration = bundle.calibration
    assert (calibration.n_scans, calibration.n_slices) == (3, 30)
    assert np.all(np.diff(calibration.nll) >= 0)
    for method in ("sequential", "anchored", "light", "regenerative"):
        assert calibration.value("pixel_score", "p99", kind=f"{method} smooth plain") > 0
        assert calibration.findings[f"{method} smooth plain"][-1] == 0
    assert calibration.value("slice_score", "p95", at=99) <= calibration.value("slice_score", "p95", at=0)
    card = (out / "README.md").read_text()
    assert "The tokenizer: L1, 50% of slices with spoilt patches; 30 steps of 4 slices, Adam at 0.003" in card
    assert "The prior: cross-entropy of codes" in card
    assert "| prior | PixelSNAIL," in card
    assert "napari-vqad train prior --config recipe --data DATA --out models/small" in card
    assert "not a medical device" in card

    explorer = Explorer(bundle, Settings(n_restorations=2))
    explorer.load_grid(healthy(99))
    for _ in explorer.work():
        pass
    assert explorer.map("pixel_score").max() > 0


def test_an_aligned_bundle_knows_places_and_can_be_calibrated_again(data, tmp_path, healthy):
    """Slices on a template's grid: what is normal at each place, fused scores, and the same numbers a second time."""
    recipe, out = tmp_path / "aligned.toml", tmp_path / "aligned"
    recipe.write_text(RECIPE.replace("spacing = 8.0", "spacing = 8.0\naligned = true"))
    out.mkdir()
    known = Template.load(models_folder() / "ixi-aligned")
    on_grid = {part: zoom(getattr(known, part), np.array((16, 24, 12)) / (72, 88, 72)) for part in ("voxels", "mask")}
    replace(known, spacing=8.0, **on_grid).save(out)  # packed slices are on its grid already
    for what in ("tokenizer", "prior"):
        assert run("train", what, "--config", recipe, "--data", data, "--out", out) == 0
    found = []
    for _ in range(2):
        assert run("calibrate", out, "--data", data) == 0
        found.append([(out / name).read_bytes() for name in ("calibration.json", "places.safetensors")])
    assert found[0] == found[1]
    bundle = Bundle.load(out, "cpu")
    assert "anchored smooth place" in bundle.places
    assert bundle.linear is not None
    for method in bundle.detector.variants:
        assert bundle.calibration.value("pixel_score", "p99", kind=f"{method} smooth fused") > 0
    explorer = Explorer(bundle, Settings(n_restorations=2))
    explorer.load_grid(replace(healthy(99), aligned=True))
    for _ in explorer.work():
        pass
    assert explorer.scale() == "fused"
    assert explorer.map("pixel_score").max() > 0


def test_training_again_resumes_at_the_end(data, tmp_path, capsys):
    words = ("train", "tokenizer", "--config", data / "recipe.toml", "--data", data, "--out", tmp_path)
    run(*words)
    before = (tmp_path / "tokenizer.safetensors").read_bytes()
    capsys.readouterr()
    run(*words)
    assert "resumed at step 30" in capsys.readouterr().out
    assert (tmp_path / "tokenizer.safetensors").read_bytes() == before


def test_packed_slices_of_another_size_are_refused(data, tmp_path, capsys):
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace("shape = [16, 24]", "shape = [16, 16]"))
    assert run("train", "tokenizer", "--config", recipe, "--data", data, "--out", tmp_path / "out") == 2
    assert "16×24 pixels, and the model asks for 16×16" in capsys.readouterr().err


def test_a_value_of_the_recipe_is_changed_on_the_command_line(data, tmp_path, capsys):
    words = ("train", "tokenizer", "--config", data / "recipe.toml", "--data", data, "--out", tmp_path / "out")
    assert run(*words, "--set", "tokenizer.n_codes=24", "--set", "tokenizer_training.error=L2") == 0
    assert read_config(tmp_path / "out").tokenizer.n_codes == 24
    trained = read_history(tmp_path / "out")["tokenizer"]
    assert trained.loss.startswith("L2")
    assert "--set tokenizer.n_codes=24" in trained.command
    capsys.readouterr()
    for change, said in (
        ("tokenizer.n_codes", "not of the form"),
        ("tokenizer.n_codes=", "not of the form"),
        ("tokenizer.n_codes=[", "not of the form"),
        ("title.x=1", "not of the form"),
        ("tokenizer.n_codes=-4", "n_codes"),
        ("tokenizer.colour=1", "colour"),
    ):
        assert run(*words, "--set", change) == 2
        assert said in capsys.readouterr().err
