"""Recipes that come along, and what is refused as one."""

import pytest
from small_recipe import RECIPE

from napari_vqad.errors import InputError
from napari_vqad.train.recipe import FOLDER, Recipe, read_toml


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
