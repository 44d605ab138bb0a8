"""The VQ-VAE-2: shapes, what each level carries, fitting a batch, saving and loading, refusing what does not fit."""

import pytest
import torch
from pydantic import ValidationError

from napari_vqad.detectors.vq.config import VQConfig
from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.nets.vq.pixelsnail import PixelSnailConfig
from napari_vqad.nets.vq.two_level import TwoLevelConfig
from napari_vqad.nets.vq.vqvae import VQVAE, TokenizerConfig
from napari_vqad.nets.vq.vqvae2 import VQVAE2, VQVAE2Config
from napari_vqad.nets.weights import load_weights, save_weights

SIZES = {"channels": (8, 8), "blocks": (1, 1), "patch": 2, "n_codes": 16, "code_dim": 4, "condition": 8}
SMALL = VQVAE2Config(**SIZES, top_channels=8, top_blocks=1)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return VQVAE2(SMALL)


def test_shapes(model):
    slices, position = torch.randn(2, 1, 32, 48), torch.zeros(2)
    codes = model.eval().encode(slices, position)
    levels = SMALL.levels((32, 48))
    assert levels.shapes == ((4, 6), (8, 12))
    assert codes.shape == (2, *levels.shape)
    assert (codes[:, ~levels.is_code] == 0).all()
    assert model.decode(codes, position).shape == slices.shape
    again, used, _ = model(slices, position)
    assert again.shape == slices.shape
    assert used.shape == (2, 24 + 96)
    assert torch.allclose(again, model.decode(codes, position), atol=1e-5)


def test_both_levels_are_decoded_each_over_its_own_reach(model):
    model.eval()
    for block in model.decoder.modules():
        if hasattr(block, "conv2"):
            torch.nn.init.normal_(block.conv2.weight, std=0.3)
    levels, position = SMALL.levels((96, 96)), torch.zeros(1)
    codes = torch.zeros(1, *levels.shape, dtype=torch.long)
    plain, touched = model.decode(codes, position), []
    for level in range(2):
        parts = [p.clone() for p in levels.split(codes)]
        h, w = parts[level].shape[1:]
        parts[level][0, h // 2, w // 2] = 3
        changed = (model.decode(levels.join(parts), position) - plain)[0, 0].abs() > 1e-6
        touched.append(int(changed.sum()))
    assert touched[0] > touched[1] > 0


def test_the_fine_level_is_told_of_the_coarse_one(model):
    """Other vectors of the coarse level lead to other fine codes of the same slice."""
    model.eval()
    slices, position = torch.randn(4, 1, 32, 32), torch.zeros(4)
    levels = SMALL.levels((32, 32))
    before = levels.split(model.encode(slices, position))
    torch.nn.init.normal_(model.top.vectors, std=5)
    after = levels.split(model.encode(slices, position))
    assert (before[1] != after[1]).any()


def test_saved_and_loaded_it_says_the_same(model, tmp_path):
    model = model.eval().half().float()
    save_weights(model, tmp_path / "tokenizer.safetensors")
    again = load_weights(VQVAE2(SMALL), tmp_path / "tokenizer.safetensors")
    slices, position = torch.randn(1, 1, 32, 32), torch.zeros(1)
    assert torch.equal(model.encode(slices, position), again.encode(slices, position))


def test_refuses_the_weights_of_a_vqvae(model, tmp_path):
    save_weights(VQVAE(TokenizerConfig(**SIZES)), tmp_path / "tokenizer.safetensors")
    with pytest.raises(InputError, match="lacks"):
        load_weights(model, tmp_path / "tokenizer.safetensors")
    save_weights(model, tmp_path / "tokenizer.safetensors")
    with pytest.raises(InputError, match=r"lacks|does not know"):
        load_weights(VQVAE(TokenizerConfig(**SIZES)), tmp_path / "tokenizer.safetensors")


def test_sides_that_cannot_be_halved_are_refused():
    with pytest.raises(ValidationError, match="half as fine"):
        a_bundle((36, 32), TwoLevelConfig(shape=(4, 4)))
    with pytest.raises(ValidationError, match="no context"):
        VQVAE2Config(context=8)


def test_a_bundle_wants_a_prior_of_both_levels():
    assert a_bundle((32, 48), TwoLevelConfig(shape=(4, 6))).levels.shape == (12, 12)
    for prior in (TwoLevelConfig(shape=(4, 4)), PixelSnailConfig()):
        with pytest.raises(ValidationError, match="4×6 and 8×12 codes"):
            a_bundle((32, 48), prior)
    config = a_bundle((32, 48), TwoLevelConfig(shape=(4, 6)))
    with pytest.raises(ValidationError, match="8×12 codes"):
        VQConfig(**config.model_dump() | {"tokenizer": TokenizerConfig(**SIZES)})


def a_bundle(shape, prior):
    return VQConfig(title="", description="", grid=GridSpec(shape=shape), tokenizer=SMALL, prior=prior)
