"""VQ-GAN: each loss term reaches the network it is meant for, λ balances gradients, perceptual distances."""

import math

import pytest
import torch
from safetensors.torch import save_file

from napari_vqad.errors import InputError
from napari_vqad.nets.discriminator import LOSSES, Discriminator
from napari_vqad.nets.vq.vqvae import VQVAE, TokenizerConfig
from napari_vqad.train.adversarial import Adversarial, GanPair, adaptive, discriminator_losses
from napari_vqad.train.perceptual import LPIPS, EncoderFeatures, VGG16Features

CONFIG = TokenizerConfig(channels=(8, 8), blocks=(1, 1), n_codes=8, code_dim=4, condition=8)
PLACE = torch.zeros(2)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return GanPair(VQVAE(CONFIG), Adversarial(width=8)).train()


@pytest.fixture
def slices():
    return torch.randn(2, 1, 16, 24, generator=torch.Generator().manual_seed(1))


def grads(network):
    return sum(float(p.grad.abs().sum()) for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_judgement_teaches_the_decoder_and_its_own_loss_the_discriminator(loss, pair, slices):
    again, _, _ = pair.tokenizer(slices, PLACE)
    close = (again - slices).abs().mean()
    found = discriminator_losses(pair, slices, again, close, Adversarial(loss=loss), 0)
    alone = torch.autograd.grad(
        found["discriminator"], list(pair.discriminator.parameters()), retain_graph=True, allow_unused=True
    )
    found["adversarial"].backward()
    assert grads(pair.tokenizer.decoder) > 0
    for parameter, gradient in zip(pair.discriminator.parameters(), alone, strict=True):
        assert torch.allclose(parameter.grad, gradient)  # of its loss alone: what convinces it does not teach it


def test_no_weight_before_it_begins(pair, slices):
    again, _, _ = pair.tokenizer(slices, PLACE)
    found = discriminator_losses(pair, slices, again, (again - slices).abs().mean(), Adversarial(begin=5), 4)
    found["adversarial"].backward()
    assert grads(pair.tokenizer) == 0
    assert grads(pair.discriminator) > 0


def test_lambda_makes_both_gradients_alike():
    last = torch.randn(5, requires_grad=True)
    reconstruction, convince = (3 * last).sum(), (0.25 * last).sum()
    scale = adaptive(reconstruction, convince, last, 0.1)
    assert scale == pytest.approx(3 * 5**0.5 / (0.25 * 5**0.5 + 0.1), rel=1e-4)
    assert not scale.requires_grad


def test_both_losses_have_the_papers_values():
    """D(Y) = 2 and D(X) = −0.5 everywhere, before the sigmoid."""
    real, decoded = torch.full((1, 1, 2, 2), 2.0), torch.full((1, 1, 2, 2), -0.5)
    (hinge, convince_hinge), (log, convince_log) = LOSSES["hinge"], LOSSES["log"]
    assert float(hinge(real, decoded)) == pytest.approx(0.5 * (0 + 0.5))
    assert float(convince_hinge(decoded)) == pytest.approx(0.5)
    p_real, p_decoded = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(0.5))
    assert float(log(real, decoded)) == pytest.approx(-math.log(p_real) - math.log(1 - p_decoded))
    assert float(convince_log(decoded)) == pytest.approx(math.log(1 - p_decoded))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_discriminator_learns_to_tell_and_judges_patches(loss):
    learn, _ = LOSSES[loss]
    torch.manual_seed(0)
    critic = Discriminator(width=8)
    optimiser = torch.optim.Adam(critic.parameters(), lr=2e-3)
    for step in range(80):
        rng = torch.Generator().manual_seed(step)
        rough = torch.randn(8, 1, 32, 32, generator=rng)
        flat = torch.nn.functional.avg_pool2d(torch.randn(8, 1, 36, 36, generator=rng), 5, 1)
        found = learn(critic(rough), critic(flat))
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
    assert found < 0.2
    far = torch.randn(1, 1, 64, 64)
    near = far.clone()
    near[..., :8, :8] += 3
    changed = (critic(far) != critic(near))[0, 0]
    assert changed[:4, :4].any()
    assert not changed[8:, 8:].any()


def test_encoder_features_tell_blurred_from_same(slices):
    torch.manual_seed(0)
    looks = EncoderFeatures(VQVAE(CONFIG))
    blurred = torch.nn.functional.avg_pool2d(slices, 5, 1, padding=2)
    assert float(looks(slices, slices, PLACE)) == 0
    assert float(looks(slices, blurred, PLACE)) > 0.01
    assert not any(p.requires_grad for p in looks.tokenizer.parameters())


@pytest.fixture(scope="module")
def lpips_file(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("lpips") / "vgg16.safetensors"
    network = VGG16Features()
    for weighing in network.linear:
        torch.nn.init.uniform_(weighing, 0.0, 0.1)
    save_file(network.state_dict(), path)
    return path


def test_lpips_from_a_local_file(lpips_file, slices):
    looks = LPIPS(lpips_file, (-3.0, 4.0), torch.device("cpu"))
    other = slices.clone().requires_grad_()
    assert float(looks(slices, slices, PLACE)) == 0
    distance = looks(slices, other + 0.5, PLACE)
    assert float(distance.detach()) > 0
    distance.backward()
    assert other.grad.abs().sum() > 0


def test_lpips_refuses_another_file(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "no.safetensors")
    with pytest.raises(InputError, match="lacks"):
        LPIPS(tmp_path / "no.safetensors", (-3.0, 4.0), torch.device("cpu"))
