"""Priors of every kind on a trained tokenizer, through the real commands."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from commands import run
from safetensors.torch import load_file
from small_recipe import RECIPE

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.scales import limits
from napari_vqad.engine.explorer import Explorer

PRIORS = {
    "gpt2": ("width = 16\nlayers = 1\nheads = 2", "GPT-2", "anchored"),
    "masked": ("width = 16\nlayers = 1\nheads = 2", "masked transformer", "masked"),
}


@pytest.mark.parametrize("kind", PRIORS)
def test_another_prior_on_the_same_tokenizer(data, trained, tmp_path, kind, capsys, healthy):
    sizes, named, method = PRIORS[kind]
    recipe, out = tmp_path / f"{kind}.toml", tmp_path / kind
    before, after = RECIPE.split("[prior]\n")
    after = after.split("condition = 8\n")[1]
    recipe.write_text(f'{before}[prior]\nkind = "{kind}"\n{sizes}\ncondition = 8\n{after}')
    assert run("train", "prior", "--config", recipe, "--data", data, "--out", out, "--tokenizer", trained) == 0
    assert run("calibrate", out, "--data", data) == 0
    assert (out / "tokenizer.safetensors").read_bytes() == (trained / "tokenizer.safetensors").read_bytes()
    card = (out / "README.md").read_text()
    assert f"| prior | {named}," in card
    assert f"--out models/{kind} --tokenizer base" in card
    assert "napari-vqad train tokenizer --config recipe --data DATA --out models/base" in card
    bundle = Bundle.load(out, "cpu")
    assert set(bundle.calibration.residual) == set(bundle.detector.variants)
    explorer = Explorer(bundle, Settings(n_restorations=3, lambda_p="p50"))
    assert explorer.settings.method == method
    explorer.load_grid(healthy(99))
    for _ in explorer.work():
        pass
    assert explorer.map("pixel_score").max() > 0
    codes, restored = explorer.results("nll", "codes"), [explorer.results("restoration", "codes", j) for j in range(3)]
    unlikely = explorer.results("nll", "nll") > explorer.thresholds()["lambda_p"]
    assert unlikely.any()
    for again in restored:
        assert (again == codes)[~unlikely].all()
    assert any((again != codes).any() for again in restored)
    capsys.readouterr()


TWO_LEVELS = """
kind = "vqvae2"
top_channels = 8
top_blocks = 1
"""


def test_two_levels_from_slices_to_maps(data, tmp_path, capsys, healthy):
    recipe, out = tmp_path / "two.toml", tmp_path / "two"
    small = "{ channels = 16, blocks = 1, res_blocks = 1, condition = 8 }"
    text = RECIPE.replace("[tokenizer]\n", f"[tokenizer]{TWO_LEVELS}", 1)
    before, after = text.split("[prior]\n")
    after = after.split("condition = 8\n")[1]
    recipe.write_text(f'{before}[prior]\nkind = "two-level"\nshape = [2, 3]\ntop = {small}\nbottom = {small}\n{after}')
    words = ("--config", recipe, "--data", data, "--out", out)
    assert run("train", "tokenizer", *words) == 0
    assert run("train", "prior", *words) == 0
    assert run("calibrate", out, "--data", data) == 0
    card = (out / "README.md").read_text()
    assert "VQ-VAE-2" in card
    assert "2×3 and 4×6 codes" in card
    bundle = Bundle.load(out, "cpu")
    explorer = Explorer(bundle, Settings(n_restorations=3, lambda_p="p50"))
    explorer.load_grid(healthy(99))
    for _ in explorer.work():
        pass
    maps = {}
    for level in ("all", "top", "bottom"):
        assert not explorer.change(explorer.settings.model_copy(update={"level": level}))  # nothing to compute
        maps[level] = explorer.map("nll").copy()
    np.testing.assert_allclose(maps["all"], maps["bottom"] + maps["top"] / 4, rtol=1e-4, atol=1e-4)
    real = bundle.detector.levels.is_code.numpy()
    codes, restored = explorer.results("nll", "codes"), explorer.results("restoration", "codes", 1)
    assert (restored != codes)[:, real].any()
    assert (restored == codes)[:, ~real].all()
    # What is no code must not count as a healthy one: quantiles are of real codes alone.
    assert bundle.calibration.nll[0] > 0
    assert re.search(r"NLL per code \| top [\d.]+, bottom [\d.]+ nats", card)
    # Each map has healthy quantiles of its own, by which it is coloured.
    assert set(bundle.calibration.nll_map) == {"all", "top", "bottom"}
    quantile = {level: bundle.calibration.value("nll_map", "p99", kind=level) for level in maps}
    assert quantile["all"] != quantile["bottom"]
    for level in maps:
        explorer.change(explorer.settings.model_copy(update={"level": level}))
        assert limits(explorer)["nll"][1] == pytest.approx(
            1.1 * bundle.calibration.value("nll_map", "p99.9", kind=level)
        )
    capsys.readouterr()


def test_a_prior_begins_with_another(data, trained, tmp_path, capsys):
    """One step at next to no rate: the weights are those that it began with."""
    first, then = tmp_path / "first", tmp_path / "then"
    words = ("train", "prior", "--data", data, "--config")
    assert run(*words, data / "recipe.toml", "--out", first, "--tokenizer", trained) == 0
    recipe = tmp_path / "then.toml"
    recipe.write_text(
        RECIPE.replace("steps = 20, batch = 4, lr = 3e-3, validate_every = 10", "steps = 1, batch = 4, lr = 1e-9")
    )
    assert run(*words, recipe, "--out", then, "--tokenizer", trained, "--start", first) == 0
    before, after = (load_file(folder / "prior.safetensors") for folder in (first, then))
    assert all(torch.equal(before[name], after[name]) for name in before)
    command = json.loads((then / "training.json").read_text())["prior"]["command"]
    assert command.endswith("--out models/then --tokenizer base --start first")
    recipe.write_text(RECIPE.replace("res_blocks = 1", "res_blocks = 2"))
    assert run(*words, recipe, "--out", tmp_path / "other", "--tokenizer", trained, "--start", first) == 2
    assert "another prior" in capsys.readouterr().err
    assert run(*words, data / "recipe.toml", "--out", first, "--start", first) == 2
    assert "begin with itself" in capsys.readouterr().err


def test_a_prior_that_has_no_place_for_the_codes_is_refused_before_it_is_trained(data, trained, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(trained, out)
    before = (out / "config.json").read_bytes()
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace("[prior]\n", "[prior]\nmax_side = 5\n"))
    assert run("train", "prior", "--config", recipe, "--data", data, "--out", out) == 2
    assert "no place for a grid of 4×6 codes" in capsys.readouterr().err
    # A recipe that fits itself, and not the tokenizer that is there.
    recipe.write_text(RECIPE.replace("[16, 24]", "[8, 16]").replace("[prior]\n", "[prior]\nmax_side = 5\n"))
    assert run("train", "prior", "--config", recipe, "--data", data, "--out", out) == 2
    assert "does not fit the recipe" in capsys.readouterr().err
    assert (out / "config.json").read_bytes() == before


def test_sharing_a_tokenizer_of_other_sizes_is_refused(data, trained, tmp_path, capsys):
    recipe = tmp_path / "other.toml"
    recipe.write_text(RECIPE.replace("n_codes = 16", "n_codes = 8"))
    out = tmp_path / "out"
    assert run("train", "prior", "--config", recipe, "--data", data, "--out", out, "--tokenizer", trained) == 2
    assert "another tokenizer or grid" in capsys.readouterr().err


def test_a_training_that_is_refused_leaves_the_bundle_as_it_was(data, trained, tmp_path, capsys):
    recipe, out = tmp_path / "r.toml", tmp_path / "out"
    recipe.write_text(RECIPE)
    words = ("train", "prior", "--config", recipe, "--data", data, "--out", out, "--tokenizer", trained)
    assert run(*words) == 0
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    recipe.write_text(RECIPE.replace("res_blocks = 1", "res_blocks = 2").replace("Small", "Other"))
    assert run(*words) == 2
    assert "another recipe: prior.res_blocks is 1, and 2 here" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
    assert run(*words[:-1], out) == 2
    assert "begin with itself" in capsys.readouterr().err


def test_a_prior_needs_a_tokenizer(data, tmp_path, capsys):
    code = run("train", "prior", "--config", data / "recipe.toml", "--data", data, "--out", tmp_path)
    assert code == 2
    assert "no tokenizer yet" in capsys.readouterr().err
