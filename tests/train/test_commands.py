"""From packed slices to a bundle that explores a scan, through the real commands."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import zoom

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.scales import limits
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.template import Template
from napari_vqad.resources import models_folder
from napari_vqad.train.data import Stack
from napari_vqad.train.recipe import FOLDER, Recipe, read_toml
from napari_vqad.train.training_log import read_history

RECIPE = """
title = "Small"
description = "A recipe for tests."
[grid]
shape = [16, 24]
spacing = 8.0
[tokenizer]
channels = [8, 8]
blocks = [1, 1]
n_codes = 16
code_dim = 4
condition = 8
[tokenizer_training]
corrupt = 0.5
schedule = { steps = 30, batch = 4, lr = 3e-3, validate_every = 15 }
[prior]
channels = 16
blocks = 1
res_blocks = 1
condition = 8
[prior_training]
variants = 2
schedule = { steps = 20, batch = 4, lr = 3e-3, validate_every = 10 }
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory, healthy):
    folder = tmp_path_factory.mktemp("packed")
    spec = GridSpec(shape=(16, 24), spacing=8.0)
    for first, split in enumerate(("train", "validation", "calibration")):
        Stack.of([healthy(10 * first + i) for i in range(3)], spec).save(folder / f"{split}.npz")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def run(*words):
    return main([str(w) for w in (*words, "--device", "cpu", "--threads", 1)])


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


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """A bundle with a trained tokenizer."""
    out = tmp_path_factory.mktemp("models") / "base"
    run("train", "tokenizer", "--config", data / "recipe.toml", "--data", data, "--out", out)
    return out


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
    assert "another network" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()} == before
    assert run(*words[:-1], out) == 2
    assert "begin with itself" in capsys.readouterr().err


def test_packed_slices_of_another_size_are_refused(data, tmp_path, capsys):
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace("shape = [16, 24]", "shape = [16, 16]"))
    assert run("train", "tokenizer", "--config", recipe, "--data", data, "--out", tmp_path / "out") == 2
    assert "16×24 pixels, and the model asks for 16×16" in capsys.readouterr().err


def test_a_gan_begins_with_a_trained_tokenizer(data, trained, tmp_path, capsys):
    recipe, out = tmp_path / "gan.toml", tmp_path / "gan"
    judged = "[tokenizer_training.adversarial]\nwidth = 8\nbegin = 10\n[prior]\n"
    recipe.write_text(RECIPE.replace("[prior]\n", judged))
    words = ("train", "tokenizer", "--config", recipe, "--data", data, "--out", out)
    assert run(*words) == 2
    assert "perceptual distance" in capsys.readouterr().err
    assert run(*words, "--start", trained) == 0
    printed = capsys.readouterr().out
    assert "discriminator" in printed
    assert "perceptual" in printed
    assert (out / "tokenizer.safetensors").read_bytes() != (trained / "tokenizer.safetensors").read_bytes()
    assert run("train", "prior", "--config", recipe, "--data", data, "--out", out) == 0
    assert run("calibrate", out, "--data", data) == 0
    card = (out / "README.md").read_text()
    assert "| tokenizer | VQ-GAN," in card
    assert "features of a VQ-VAE's encoder" in card
    assert "--start base" in card
    assert run(*words, "--start", out) == 2
    assert "begin with itself" in capsys.readouterr().err


def test_a_gan_of_its_own_is_judged_by_the_features_of_another(data, trained, tmp_path, capsys):
    recipe, out = tmp_path / "gan.toml", tmp_path / "gan"
    judged = 'codebook = "gradient"\n[tokenizer_training.adversarial]\nwidth = 8\nloss = "log"\n[prior]\n'
    recipe.write_text(RECIPE.replace("[prior]\n", judged))
    words = ("train", "tokenizer", "--config", recipe, "--data", data, "--out", out)
    assert run(*words, "--features", trained) == 0
    capsys.readouterr()
    assert run("train", "prior", "--config", recipe, "--data", data, "--out", out) == 0
    assert run("calibrate", out, "--data", data) == 0
    card = (out / "README.md").read_text()
    assert "the codebook by gradient" in card
    assert "log loss" in card
    assert f"--features {trained.name}" in card
    plain = tmp_path / "plain.toml"
    plain.write_text(RECIPE)
    words = ("train", "tokenizer", "--config", plain, "--data", data, "--out", tmp_path / "other")
    assert run(*words, "--lpips", tmp_path / "lpips.safetensors") == 2
    assert "--lpips is for a VQ-GAN" in capsys.readouterr().err
    recipe.write_text(recipe.read_text().replace("spacing = 8.0", "spacing = 7.0"))
    words = ("train", "tokenizer", "--config", recipe, "--data", data, "--out", tmp_path / "third")
    assert run(*words, "--features", trained) == 2
    assert "another grid" in capsys.readouterr().err


def test_a_value_of_the_recipe_is_changed_on_the_command_line(data, tmp_path, capsys):
    words = ("train", "tokenizer", "--config", data / "recipe.toml", "--data", data, "--out", tmp_path / "out")
    assert run(*words, "--set", "tokenizer.n_codes=24", "--set", 'tokenizer_training.error="L2"') == 0
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


def test_a_prior_needs_a_tokenizer(data, tmp_path, capsys):
    code = run("train", "prior", "--config", data / "recipe.toml", "--data", data, "--out", tmp_path)
    assert code == 2
    assert "no tokenizer yet" in capsys.readouterr().err


def test_recipes_that_come_along_are_valid():
    # Those that name a detector have no codes and no prior.
    names = {path.stem for path in FOLDER.glob("*.toml") if "detector" not in read_toml(path)[0]}
    heads = {"ixi-aligned", "ixi-gpt2", "ixi-masked", "ixi-gan", "ixi-gan-gpt2", "ixi-vqvae2"}
    heads |= {f"ixi-plain-{kind}" for kind in ("vp", "vt", "gp", "gt")}
    assert {n for n in names if not n.startswith("ped2-")} == heads | {"paper-160", "paper-160-abdomen", "meissen-256"}
    recipes = {name: Recipe.read(name) for name in names}
    for recipe in recipes.values():
        assert recipe.bundle_config().levels.shape  # tokenizer, grid and prior fit together
    assert recipes["meissen-256"].bundle_config().levels.shapes == ((32, 32), (64, 64))
    assert recipes["meissen-256"].tokenizer.code_dim == 64
    assert (recipes["ixi-aligned"].tokenizer.stride, recipes["paper-160"].tokenizer.stride) == (4, 8)
    # What shares a tokenizer must ask for the same one.
    assert len({recipes[f"ixi-{name}"].tokenizer for name in ("aligned", "gpt2", "masked", "gan", "gan-gpt2")}) == 1
    # What begins with another's prior must have one of its sizes.
    assert recipes["ixi-gan"].prior == recipes["ixi-aligned"].prior
    assert recipes["ixi-gan-gpt2"].prior == recipes["ixi-gpt2"].prior
    assert [recipes[f"ixi-{name}"].prior.kind for name in ("gpt2", "masked")] == ["gpt2", "masked"]


def test_refuses_a_recipe(tmp_path):
    with pytest.raises(InputError, match="ixi-aligned"):
        Recipe.read("nothing")
    for text, word in (
        (RECIPE + "surprise = 1", "surprise"),
        ("title = ", "TOML"),
        (RECIPE.replace("16,", "'a',"), "grid"),
    ):
        path = tmp_path / "r.toml"
        path.write_text(text)
        with pytest.raises(InputError, match=word) as caught:
            Recipe.read(path)
        assert "\n" not in str(caught.value).rstrip()


def test_packing_real_scans(shared_data, tmp_path, monkeypatch):
    """Three subjects of each split: packed files hold what the folder holds."""
    from napari_vqad.train import data as module

    few = module.ixi_subjects
    monkeypatch.setattr(module, "ixi_subjects", lambda folder, split: few(folder, split)[:1])
    # That of all training subjects: grey values are harmonised to it, and one subject is no population.
    Template.load(models_folder() / "ixi-aligned").save(tmp_path)
    assert (
        main(
            [
                "train",
                "pack",
                "--config",
                "ixi-aligned",
                "--data",
                str(shared_data / "ixi_t1_2mm"),
                "--out",
                str(tmp_path),
            ]
        )
        == 0
    )
    stack = Stack.load(tmp_path / "validation.npz")
    assert stack.levels.shape[1:] == (72, 88)
    assert 55 < len(stack) < 85
    assert json.dumps(stack.clip) == "[-3.0, 4.0]"
    inside = stack.slices()[stack.mask]
    assert abs(inside.mean()) < 0.1
    assert abs(inside.std() - 1) < 0.1
