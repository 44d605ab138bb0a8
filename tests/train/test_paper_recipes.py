"""The recipes at the papers' sizes against the papers' tables (Marimont & Tarroni 2020, §3; Ishii 2023, §4)."""

import pytest
import torch

from napari_vqad.nets.vq.pixelsnail_paper import PaperSnailConfig
from napari_vqad.nets.vq.registry import make_prior, make_tokenizer
from napari_vqad.train.recipe import Recipe

RATES = {  # tokenizer, prior
    "ped2-paper-vqvae": (2.25e-5, 1e-4),
    "ped2-paper-gpt2": (2.25e-5, 2.25e-5),
    "ped2-paper-gan": (5e-5, 1e-4),
    "ped2-paper-gan-gpt2": (5e-5, 2.25e-5),
}


def plain_adam(schedule) -> bool:
    """Adam with β2 = 0.999 at one rate, gradients as they are."""
    return (schedule.beta2, schedule.decay, schedule.warm_up, schedule.clip) == (0.999, False, 1, 0)


@pytest.mark.parametrize("name", RATES)
def test_ped2_is_trained_as_in_the_paper(name):
    recipe = Recipe.read(name)
    schedules = recipe.tokenizer_training.schedule, recipe.prior_training.schedule
    assert tuple(s.lr for s in schedules) == RATES[name]
    assert all(s.batch == 10 and plain_adam(s) for s in schedules)
    assert recipe.tokenizer_training.error == "L2"
    assert recipe.tokenizer_training.outside == 1
    assert recipe.tokenizer_training.corrupt == 0
    assert (recipe.tokenizer.n_codes, recipe.tokenizer.code_dim) == (128, 256)
    assert recipe.bundle_config().levels.shape == (8, 8)


def test_the_encoder_of_ped2_has_the_widths_of_table_1():
    recipe = Recipe.read("ped2-paper-vqvae")
    with torch.device("meta"):
        tokenizer = make_tokenizer(recipe.tokenizer)
        prior = make_prior(Recipe.read("ped2-paper-gpt2").prior, 128)
    assert recipe.tokenizer.channels == (64, 64, 128, 128, 256)
    assert recipe.tokenizer.blocks == (2, 2, 2, 2, 4)
    assert sum(p.numel() for p in tokenizer.parameters()) > 10e6
    assert 290e6 < sum(p.numel() for p in prior.parameters()) < 340e6  # GPT-2 medium without its vocabulary


@pytest.mark.parametrize("name", ["paper-160", "ped2-paper-vqvae", "ped2-paper-gan"])
def test_pixelsnail_is_the_papers(name):
    prior = Recipe.read(name).prior
    assert prior == PaperSnailConfig(channels=128, blocks=4, res_blocks=4, key_channels=16, dropout=0.1)


def test_heads_are_trained_as_in_the_paper():
    recipe = Recipe.read("paper-160")
    schedules = recipe.tokenizer_training.schedule, recipe.prior_training.schedule
    assert all((s.lr, s.batch) == (1e-4, 64) and plain_adam(s) for s in schedules)
    assert recipe.tokenizer_training.commitment == 1
    assert recipe.tokenizer_training.outside == 1
    assert recipe.bundle_config().levels.shape == (20, 20)
