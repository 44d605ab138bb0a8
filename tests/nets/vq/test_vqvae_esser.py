"""The VQ-VAE of Esser et al. 2021: its layers, what each code sees, fitting a batch, refusals."""

import pytest
import torch
from pydantic import ValidationError

from napari_vqad.detectors.vq.config import VQConfig
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.nets.vq.gpt2 import GPT2Config
from napari_vqad.nets.vq.vqvae import reconstruct
from napari_vqad.nets.vq.vqvae_esser import EsserConfig, EsserVQVAE, Stage

SMALL = EsserConfig(
    stem=8,
    encoder=(
        Stage(width=8, blocks=1),
        Stage(width=8, blocks=1, non_local=True),
        Stage(width=16, blocks=1, resample=False),
    ),
    decoder=(Stage(width=16, blocks=1, resample=False), Stage(width=8, blocks=1), Stage(width=8, blocks=1)),
    n_codes=16,
    code_dim=4,
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return EsserVQVAE(SMALL)


def test_stride_and_shapes(model):
    slices = torch.randn(2, 1, 16, 24)
    codes = model.eval().encode(slices, torch.zeros(2))
    assert model.stride == 4
    assert codes.shape == (2, 4, 6) == (2, *SMALL.levels((16, 24)).shape)
    assert model.decode(codes, torch.zeros(2)).shape == slices.shape
    assert [f.shape[1:] for f in model.features(slices, torch.zeros(2))] == [(8, 8, 12), (8, 4, 6), (16, 4, 6)]


def test_fits_one_batch(model):
    slices = torch.nn.functional.interpolate(torch.randn(2, 1, 4, 4), (16, 16), mode="bilinear")
    place = torch.zeros(2)
    model.train().codebook.learn_by_gradient()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        again, _, latent = model(slices, place)
        loss = ((again - slices) ** 2).mean() + latent.codebook + 0.25 * latent.commitment
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    rest = (reconstruct(model.eval(), slices, place) - slices).square().mean()
    assert rest < 0.2 * slices.square().mean()


def test_each_code_sees_the_whole_slice_and_changes_all_of_it(model):
    for parameter in model.eval().parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    slices = torch.randn(1, 1, 64, 64)
    other = slices.clone()
    other[..., :4, :4] += 2
    assert not torch.equal(model.encoder(slices)[..., -1, -1], model.encoder(other)[..., -1, -1])
    codes = torch.zeros(1, 16, 16, dtype=torch.long)
    changed = codes.clone()
    changed[0, 0, 0] = 1
    assert not torch.equal(*(model.decode(c, torch.zeros(1))[..., -1, -1] for c in (codes, changed)))


def test_dropout_is_for_training_alone():
    torch.manual_seed(0)
    model = EsserVQVAE(SMALL.model_copy(update={"dropout": 0.5}))
    slices = torch.randn(1, 1, 16, 16)
    assert not torch.equal(model.train().encoder(slices), model.encoder(slices))
    assert torch.equal(model.eval().encoder(slices), model.encoder(slices))


def test_an_encoder_and_a_decoder_of_other_strides_are_refused():
    wrong = SMALL.model_copy(update={"decoder": (Stage(width=8, blocks=1),)})
    with pytest.raises(ValidationError, match="same number of stages"):
        VQConfig(
            title="x", description="y", grid=GridSpec(shape=(16, 16)), tokenizer=wrong.model_dump(), prior=GPT2Config()
        )
