"""The latent search of AnoGAN: what it descends, that it finds, continues and stops."""

import pytest
import torch

from napari_vqad.nets.gan import GanSizes, Generator, SliceDiscriminator
from napari_vqad.nets.latent_search import LatentSearch, SearchState

SIZES, SHAPE = GanSizes(latent=4, channels=(4, 6, 8), condition=4), (16, 24)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return tuple(network(SIZES, SHAPE).eval().requires_grad_(False) for network in (Generator, SliceDiscriminator))


def nothing():
    pass


def make(networks, n=2, weight=0.1):
    """A search for slices that the generator makes, and where their latents are."""
    z, place = torch.randn(n, 4, generator=torch.Generator().manual_seed(1)), torch.linspace(-0.5, 0.5, n)
    return LatentSearch(*networks, networks[0](z, place), place, weight), z


def start(n=2):
    return SearchState.start(torch.zeros(n, 4))


def test_the_loss_is_that_of_residual_and_features(networks):
    generator, discriminator = networks
    search, wanted = make(networks, weight=0.25)
    z, place = torch.ones(2, 4), torch.linspace(-0.5, 0.5, 2)
    y, x = generator(wanted, place), generator(z, place)
    apart = discriminator.features(y) - discriminator.features(x)
    expected = 0.75 * (y - x).abs().mean((1, 2, 3)) + 0.25 * apart.abs().mean((1, 2, 3))
    torch.testing.assert_close(search.loss(z), (expected, x))


def test_it_finds_a_slice_that_the_generator_makes(networks):
    search, _ = make(networks)
    before, _ = search.loss(start().z)
    after, _ = search.loss(search.run(start(), 150, 0.1, nothing).z)
    assert (after < 0.15 * before).all()


def test_a_continued_search_is_the_uninterrupted_one(networks):
    search, _ = make(networks)
    whole = search.run(start(), 20, 0.1, nothing)
    parts = search.run(search.run(start(), 7, 0.1, nothing), 20, 0.1, nothing)
    assert (whole.steps, parts.steps) == (20, 20)
    for one, other in zip(whole[:3], parts[:3], strict=True):
        assert torch.equal(one, other)


def test_its_steps_are_those_of_adam(networks):
    search, _ = make(networks)
    z = torch.zeros(2, 4, requires_grad=True)
    adam = torch.optim.Adam([z], lr=0.1)
    for _ in range(5):
        adam.zero_grad()
        search.loss(z)[0].sum().backward()
        adam.step()
    torch.testing.assert_close(search.run(start(), 5, 0.1, nothing).z, z.detach())


def test_slices_are_searched_for_on_their_own(networks):
    both, z = make(networks)
    one = LatentSearch(*networks, networks[0](z[:1], torch.tensor([-0.5])), torch.tensor([-0.5]), 0.1)
    torch.testing.assert_close(both.run(start(), 9, 0.1, nothing).z[:1], one.run(start(1), 9, 0.1, nothing).z)


def test_it_stops_at_the_next_step(networks):
    seen = []

    def check():
        seen.append(len(seen))
        if len(seen) == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        make(networks)[0].run(start(), 100, 0.1, check)
    assert len(seen) == 3


def test_a_network_without_position_ignores_it():
    torch.manual_seed(0)
    sizes = SIZES.model_copy(update={"condition": 0})
    generator, discriminator = (n(sizes, SHAPE).eval() for n in (Generator, SliceDiscriminator))
    z, here, there = torch.randn(1, 4), torch.zeros(1), torch.ones(1)
    assert torch.equal(generator(z, here), generator(z, there))
    assert torch.equal(discriminator(generator(z, here), here), discriminator(generator(z, here), there))
