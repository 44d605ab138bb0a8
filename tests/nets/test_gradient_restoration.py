"""Restoration by gradient descent under a VAE: what it descends, and what it restores."""

import pytest
import torch

from napari_vqad.nets import autoencoder
from napari_vqad.nets.autoencoder import Autoencoder, AutoencoderSizes
from napari_vqad.nets.gradient_restoration import descend, energy, negative_elbo, total_variation

SIZES = AutoencoderSizes(channels=(8, 8), blocks=(1, 1), patch=2, code_dim=4, condition=8, latent=4, kl=0.1)


def nothing():
    pass


@pytest.fixture(scope="module")
def overfitted():
    """A VAE that has learnt one slice, the slice and its position."""
    torch.manual_seed(0)
    network, place = Autoencoder(SIZES, (16, 24), True), torch.zeros(1)
    healthy = torch.nn.functional.interpolate(torch.randn(1, 1, 2, 3), (16, 24), mode="bilinear")
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(120):
        noisy = healthy + 0.2 * torch.randn(healthy.shape)
        latent = network.encode(noisy, place)
        found = autoencoder.loss(network, healthy, network.decode(latent.mean, place), latent).mean()
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
    return network.eval().requires_grad_(False), healthy, place


def test_total_variation_is_the_sum_of_all_steps():
    picture = torch.tensor([[[[0.0, 1.0, 1.0], [0.0, 3.0, -1.0]]]])
    assert total_variation(picture).tolist() == [1 + 0 + 3 + 4 + 0 + 2 + 2]


def test_the_elbo_is_the_loss_of_the_vae_summed_over_the_pixels(overfitted):
    network, healthy, place = overfitted
    latent = network.encode(healthy, place)
    decoded = network.decode(latent.mean, place)
    expected = (healthy - decoded).abs().sum((1, 2, 3)) + 0.1 * latent.kl()
    torch.testing.assert_close(negative_elbo(network, healthy, place), expected)


@pytest.mark.parametrize("term", ["TV", "L1"])
def test_a_lesion_is_restored_and_the_rest_stays(term, overfitted):
    network, healthy, place = overfitted
    lesion = torch.zeros(1, 1, 16, 24)
    lesion[..., 4:11, 8:16] = 2.0
    slices = healthy + lesion
    restored = descend(network, slices, slices, place, 120, 0.02, 0.3, term, nothing)
    moved, inside = (restored - slices).abs(), lesion > 0
    assert moved[inside].mean() > 4 * moved[~inside].mean()
    assert (restored - healthy)[inside].abs().mean() < 0.6 * 2.0
    before, after = (energy(network, x, slices, place, 0.3, term) for x in (slices, restored))
    assert after < before


def test_a_larger_weight_keeps_more(overfitted):
    network, healthy, place = overfitted
    slices = healthy + torch.randn(healthy.shape, generator=torch.Generator().manual_seed(0))
    moved = [
        float((descend(network, slices, slices, place, 10, 0.02, w, "L1", nothing) - slices).abs().mean())
        for w in (0.0, 0.5, 5.0)
    ]
    assert moved[0] > moved[1] > moved[2] > 0


def test_descents_add_up_and_stop(overfitted):
    network, healthy, place = overfitted
    slices, settings = healthy + 1, (0.02, 0.3, "TV", nothing)
    whole = descend(network, slices, slices, place, 9, *settings)
    part = descend(network, slices, slices, place, 4, *settings)
    assert torch.equal(descend(network, part, slices, place, 5, *settings), whole)

    def check():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        descend(network, slices, slices, place, 9, 0.02, 0.3, "TV", check)
