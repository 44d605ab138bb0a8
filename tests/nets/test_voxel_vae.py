import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from napari_vqad.nets.voxel_vae import SHAPES, DigitVAESizes, VAESizes, VoxelVAESizes, make_vector_vae
from napari_vqad.nets.weights import load_weights, save_weights
from napari_vqad.scores.novelty.elbo import negative_elbo


@pytest.mark.parametrize("shape", SHAPES)
def test_the_papers_layers_have_the_measurements_of_the_data(shape):
    vae = make_vector_vae(VoxelVAESizes.of(shape, 30))
    hidden, latent = SHAPES[shape]
    assert latent == int(shape)
    widths = [layer.weight.shape[::-1] for layer in vae.encoder if hasattr(layer, "weight")]
    assert [a for a, _ in widths] == [30, *hidden]
    assert widths[-1][1] == 2 * latent  # means and ln σ²
    widths = [layer.weight.shape[::-1] for layer in vae.decoder if hasattr(layer, "weight")]
    assert [a for a, _ in widths] == [latent, *hidden[::-1]]
    assert widths[-1][1] == 60


@pytest.mark.parametrize(
    "sizes", [VoxelVAESizes(measurements=9, hidden=(6,), latent=2), DigitVAESizes(side=6, channels=(2, 3), latent=4)]
)
def test_distributions_have_the_shapes_and_bounds_that_are_told(sizes, tmp_path):
    vae = make_vector_vae(sizes)
    assert (vae.measurements, vae.latent) == (getattr(sizes, "measurements", 36), sizes.latent)
    x = 100 * torch.randn(5, vae.measurements)
    q = vae.encode(x)
    p = vae.decode(q.mean)
    assert q.mean.shape == q.log_variance.shape == (5, vae.latent)
    assert p.mean.shape == p.log_variance.shape == (5, vae.measurements)
    assert (p.log_variance >= 2 * math.log(sizes.least_sd) - 1e-5).all()
    assert (q.log_variance.abs() <= 12).all()
    save_weights(vae, tmp_path / "vae.safetensors")
    read = load_weights(make_vector_vae(sizes), tmp_path / "vae.safetensors")
    torch.testing.assert_close(read.decode(q.mean).mean, p.mean, rtol=0.02, atol=0.02)
    known = TypeAdapter(VAESizes).validate_python(sizes.model_dump())
    assert known == sizes


def test_training_lowers_the_loss_and_finds_the_variance_of_noise():
    torch.manual_seed(0)
    vae = make_vector_vae(VoxelVAESizes(measurements=4, hidden=(16,), latent=1))
    adam = torch.optim.Adam(vae.parameters(), 1e-2)
    direction = torch.tensor([1.0, -1.0, 2.0, 0.5])
    losses = []
    for _ in range(200):
        x = torch.randn(64, 1) * direction + 0.2 * torch.randn(64, 4)
        loss = negative_elbo(x, vae.encode(x), vae.decode, torch.randn(1, 64, 1)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert sum(losses[-50:]) / 50 < losses[0] - 3
    x = torch.randn(500, 1) * direction + 0.2 * torch.randn(500, 4)
    sd = (0.5 * vae.decode(vae.encode(x).mean).log_variance).exp().mean(0)
    assert ((sd > 0.1) & (sd < 0.4)).all()


@pytest.mark.parametrize(
    "wrong", [{"measurements": 0}, {"measurements": 3, "latent": 0}, {"measurements": 3, "hidden": (0,)}]
)
def test_sizes_that_make_no_network_are_refused(wrong):
    with pytest.raises(ValidationError):
        VoxelVAESizes(**wrong)
