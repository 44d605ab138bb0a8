"""A checkpoint is resumed only with the recipe that it was made with; the refusal names the first difference."""

import json
import re
from pathlib import Path

import pytest
import torch
from commands import run
from safetensors.torch import load_file, save_file
from small_recipe import RECIPE

from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.train.adversarial import Adversarial
from napari_vqad.train.data import Stack
from napari_vqad.train.fit import CHECKPOINT, Schedule, fit, state_of
from napari_vqad.train.ganomaly import GanomalyTraining
from napari_vqad.train.same_recipe import difference, options_of
from napari_vqad.train.tokenizer import TokenizerTraining

SHORT = "schedule = { steps = 2, batch = 2, validate_every = 2 }"
RECIPES = {
    "ganomaly": f"""
title = "Small"
description = ""
detector = "ganomaly"
[grid]
shape = [16, 24]
spacing = 8.0
[network]
channels = [4, 6]
latent = 4
[training]
{SHORT}
""",
    "autoencoder": f"""
title = "Small"
description = ""
detector = "vae"
[grid]
shape = [16, 24]
spacing = 8.0
[network]
channels = [8, 8]
blocks = [1, 1]
code_dim = 4
condition = 8
latent = 4
[training]
{SHORT}
""",
    "tokenizer": re.sub("schedule = .*", SHORT, RECIPE).replace("variants = 2", "variants = 1"),
}
RECIPES["prior"] = RECIPES["tokenizer"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory, healthy):
    folder = tmp_path_factory.mktemp("packed")
    for first, split in enumerate(("train", "validation")):
        Stack.of([healthy(first)], GridSpec(shape=(16, 24), spacing=8.0)).save(folder / f"{split}.npz")
    return folder


def train(what, packed, out, *changes):
    (packed / f"{what}.toml").write_text(RECIPES[what])
    sets = [word for change in changes for word in ("--set", change)]
    return run("train", what, "--config", packed / f"{what}.toml", "--data", packed, "--out", out, *sets)


@pytest.mark.parametrize(
    ("what", "change", "said"),
    [
        ("ganomaly", "training.w_con=1.0", "another recipe: training.w_con is 50.0, and 1.0 here;"),
        ("ganomaly", "training.schedule.steps=3", "another schedule: steps is 2, and 3 here;"),
        ("autoencoder", "network.kl=0.5", "another recipe: bundle.network.kl is 1.0, and 0.5 here;"),
        ("autoencoder", "grid.background=-1.0", "another recipe: bundle.grid.background is -2.0, and -1.0 here;"),
        ("tokenizer", "tokenizer_training.corrupt=0.0", "another recipe: tokenizer_training.corrupt is 0.5, and 0.0"),
        (
            "tokenizer",
            "tokenizer_training.adversarial={perceptual=0}",
            "adversarial is null, and a table here;",
        ),
        ("prior", "prior_training.sway=0.5", "another recipe: prior_training.sway is 1.0, and 0.5 here;"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused(what, change, said, packed, tmp_path, capsys):
    if what == "prior":
        train("tokenizer", packed, tmp_path)
    assert train(what, packed, tmp_path) == 0
    capsys.readouterr()
    assert train(what, packed, tmp_path, change) == 2
    assert said in (refused := capsys.readouterr().err)
    assert refused.count("\n") == 1
    assert train(what, packed, tmp_path, 'title="Another title"') == 0
    assert "resumed at step 2" in capsys.readouterr().out


def test_a_prior_of_other_options_does_not_stop_its_tokenizer(packed, tmp_path, capsys):
    assert train("tokenizer", packed, tmp_path) == 0
    assert train("tokenizer", packed, tmp_path, "prior_training.variants=2") == 0
    assert "resumed" in capsys.readouterr().out


def test_the_first_of_several_differences_is_named_and_new_options_are_none():
    now = {"a": {"x": 1, "y": [1, 2], "new": 5}, "b": None}
    assert difference({"a": {"x": 1, "y": [1, 2], "gone": 3}}, now) is None
    assert difference({"a": {"x": 1, "y": [1, 3]}, "b": 2}, now) == "a.y is [1, 3], and [1, 2] here"
    assert difference({"a": {"x": 1, "y": [1, 2]}, "b": {"c": 1}}, now) == "b is a table, and null here"


def test_options_come_back_from_json_and_a_file_may_be_moved():
    here, there = (
        options_of(training=TokenizerTraining(adversarial=Adversarial(lpips=path))) for path in (Path("a"), Path("b"))
    )
    assert here == there == json.loads(json.dumps(here))
    assert difference(options_of(training=TokenizerTraining(adversarial=Adversarial())), here) == (
        "training.adversarial.lpips is null, and true here"
    )
    assert "schedule" not in options_of(training=GanomalyTraining())["training"]


def fit_line(folder, recipe=None):
    model = torch.nn.Linear(1, 1)
    schedule = Schedule(steps=2, validate_every=2)
    loss = lambda _rng, _step: {"loss": model.weight.sum()}  # noqa: E731
    return fit(model, loss, lambda: 0.0, folder, schedule, torch.device("cpu"), recipe=recipe)


def test_a_checkpoint_of_an_earlier_version_has_no_recipe_and_is_resumed(tmp_path):
    fit_line(tmp_path, {"training": {"weight": 1}})
    state = state_of(tmp_path)
    del state["recipe"]
    save_file(load_file(tmp_path / CHECKPOINT), tmp_path / CHECKPOINT, {"state": json.dumps(state)})
    fit_line(tmp_path, {"training": {"weight": 2}})


def test_a_damaged_recipe_in_a_checkpoint_is_one_sentence(tmp_path):
    fit_line(tmp_path)
    state = state_of(tmp_path) | {"recipe": [1]}
    save_file(load_file(tmp_path / CHECKPOINT), tmp_path / CHECKPOINT, {"state": json.dumps(state)})
    with pytest.raises(InputError, match="damaged"):
        fit_line(tmp_path)
