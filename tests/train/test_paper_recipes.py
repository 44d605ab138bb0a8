"""The recipes at the papers' sizes against the papers' tables (Marimont & Tarroni 2020, §3; Ishii 2023, §4)."""

import pytest
import torch
from torch import nn

from napari_vqad.nets.vq.pixelsnail_paper import PaperSnailConfig
from napari_vqad.nets.vq.registry import make_prior, make_tokenizer
from napari_vqad.nets.vq.vqvae_esser import GroupNonLocal, Residual
from napari_vqad.train.adversarial import Adversarial
from napari_vqad.train.recipe import Recipe

RATES = {  # tokenizer, prior
    "ped2-paper-vp": (2.25e-5, 1e-4),
    "ped2-paper-vt": (2.25e-5, 2.25e-5),
    "ped2-paper-gp": (5e-5, 1e-4),
    "ped2-paper-gt": (5e-5, 2.25e-5),
}
# Component, height, width, channels: tables 1 and 2, which have three channels of colour where there is one of grey.
TABLE_1 = [
    ("Conv2D", 128, 128, 64),
    ("Residual x2 + Downsample", 64, 64, 64),
    ("Residual x2 + Downsample", 32, 32, 64),
    ("Residual x2 + Downsample", 16, 16, 128),
    ("(Residual + NonLocal) x2 + Downsample", 8, 8, 128),
    ("Residual x2", 8, 8, 256),
    ("Residual + NonLocal + Residual", 8, 8, 256),
    ("GroupNorm, Swish, Conv2D", 8, 8, 256),
]
TABLE_2 = [
    ("Conv2D", 8, 8, 256),
    ("Residual + NonLocal + Residual", 8, 8, 256),
    ("(Residual + NonLocal) x3", 8, 8, 256),
    ("(Residual + NonLocal) x3 + Upsample", 16, 16, 128),
    ("Residual x3 + Upsample", 32, 32, 128),
    ("Residual x3 + Upsample", 64, 64, 64),
    ("Residual x3 + Upsample", 128, 128, 64),
    ("GroupNorm, Swish, Conv2D", 128, 128, 1),
]


def plain_adam(schedule) -> bool:
    """Adam with β2 = 0.999 at one rate, gradients as they are."""
    return (schedule.beta2, schedule.decay, schedule.warm_up, schedule.clip) == (0.999, False, 1, 0)


def blocks_of(component: str) -> tuple[int, int]:
    """Residual and non-local blocks that a row of the tables names."""
    times = int(component.split("x")[-1][0]) if " x" in component else 1
    return component.count("Residual") * times, component.count("NonLocal") * times


def rows_of(network: nn.Module, given: torch.Tensor) -> list[tuple[tuple[int, int], tuple[int, int, int]]]:
    """Blocks and output of each part of an encoder or a decoder, in order."""
    found = []

    def seen(part, _inputs, output):
        counts = tuple(sum(isinstance(m, kind) for m in part.modules()) for kind in (Residual, GroupNonLocal))
        found.append((counts, (*output.shape[2:], output.shape[1])))

    for part in (network.stem, network.middle, *network.stages, network.out):
        part.register_forward_hook(seen)
    network(given)
    return found


@pytest.mark.parametrize("name", RATES)
def test_every_layer_of_ped2_is_that_of_the_tables(name):
    recipe = Recipe.read(name)
    with torch.device("meta"):
        tokenizer = make_tokenizer(recipe.tokenizer)
        encoder = rows_of(tokenizer.encoder, torch.empty(1, 1, 128, 128))
        decoder = rows_of(tokenizer.decoder, torch.empty(1, 256, 8, 8))
    assert encoder == [(blocks_of(component), tuple(shape)) for component, *shape in TABLE_1]
    assert decoder == [(blocks_of(component), tuple(shape)) for component, *shape in TABLE_2]
    assert all(isinstance(part.norm, nn.GroupNorm) for part in (tokenizer.encoder, tokenizer.decoder))
    assert tokenizer.codebook.vectors.shape == (128, 256)
    assert recipe.bundle_config().levels.shape == (8, 8)


@pytest.mark.parametrize("name", RATES)
def test_ped2_is_trained_as_in_the_paper(name):
    recipe = Recipe.read(name)
    training = recipe.tokenizer_training
    schedules = training.schedule, recipe.prior_training.schedule
    assert tuple(s.lr for s in schedules) == RATES[name]
    assert all(s.batch == 10 and plain_adam(s) for s in schedules)
    # Looks are two epochs of the 2330 training frames apart; training stops when it was overtaken more than 5 times.
    assert all((s.validate_every, s.stop, s.patience) == (2 * 2330 // 10, "overtaken", 5) for s in schedules)
    assert (training.error, training.codebook, training.outside, training.corrupt) == ("L2", "gradient", 1, 0)
    judged = Adversarial(loss="log", delta=1e-6, weight=1, perceptual=1, width=64, halvings=3, pace=1)
    assert training.adversarial == (judged if name in ("ped2-paper-gp", "ped2-paper-gt") else None)


@pytest.mark.parametrize("name", ["ped2-paper-vt", "ped2-paper-gt"])
def test_gpt2_is_the_medium_one(name):
    with torch.device("meta"):
        prior = make_prior(Recipe.read(name).prior, 128)
    assert (prior.config.layers, prior.config.heads, prior.config.width, prior.config.dropout) == (24, 16, 1024, 0.1)
    assert 290e6 < sum(p.numel() for p in prior.parameters()) < 340e6  # GPT-2 medium without its vocabulary


@pytest.mark.parametrize(
    ("name", "attention"),
    [("paper-160", "half"), ("paper-160-abdomen", "full"), ("ped2-paper-vp", "full"), ("ped2-paper-gp", "full")],
)
def test_pixelsnail_is_the_papers(name, attention):
    prior = Recipe.read(name).prior
    sizes = {"channels": 128, "blocks": 4, "res_blocks": 4, "key_channels": 16, "dropout": 0.1}
    assert prior == PaperSnailConfig(**sizes, weight_norm=True, attention=attention)
    with torch.device("meta"):
        network = make_prior(prior, 128)
    assert [len(block.horizontal) for block in network.blocks] == [4] * 4


@pytest.mark.parametrize(("name", "side"), [("paper-160", 20), ("paper-160-abdomen", 10)])
def test_heads_and_abdomens_are_as_in_the_paper(name, side):
    recipe = Recipe.read(name)
    training = recipe.tokenizer_training
    schedules = training.schedule, recipe.prior_training.schedule
    assert all((s.lr, s.batch) == (1e-4, 64) and plain_adam(s) for s in schedules)
    assert (training.volumes, training.error, training.codebook) == (8, "L1", "gradient")
    assert (training.commitment, training.outside, training.corrupt) == (1, 1, 0)
    assert recipe.bundle_config().levels.shape == (side, side)
    with torch.device("meta"):
        tokenizer = make_tokenizer(recipe.tokenizer)
        condition = torch.empty(1, recipe.tokenizer.condition)
        latents = tokenizer.encoder(torch.empty(1, 1, 160, 160), condition)
        decoded = tokenizer.decoder(latents, condition)
    assert latents.shape == (1, 256, side, side)
    assert decoded.shape == (1, 1, 160, 160)
    assert tokenizer.codebook.vectors.shape == (128, 256)
    for half in (tokenizer.encoder, tokenizer.decoder):
        assert [len(level) for level in half.levels] == [4] * len(half.levels)
        assert {block.dropout for level in half.levels for block in level} == {0.1}
