"""The adversary of an autoencoder: each network descends its own loss with its own Adam; a killed training goes on."""

import math

import pytest
import torch
from safetensors.torch import load_file

from napari_vqad.detectors.vae import VAEConfig
from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.nets.autoencoder import Autoencoder, AutoencoderSizes
from napari_vqad.train.adversary import Adversary, JudgedAutoencoder
from napari_vqad.train.autoencoder import AutoencoderTraining, train_network
from napari_vqad.train.data import Stack
from napari_vqad.train.fit import CHECKPOINT, Schedule, Turn, fit
from napari_vqad.train.network_command import TrainingRun

CPU, PLACE = torch.device("cpu"), torch.zeros(2)
SIZES = AutoencoderSizes(channels=(8, 8), blocks=(1, 1), code_dim=4, condition=8, latent=2, spatial=True, kl=0.3)
JUDGE = Adversary(reconstruction=2.0, weight=0.5, width=4, halvings=2)
SCHEDULE = Schedule(steps=6, batch=4, lr=1e-3, validate_every=3, warm_up=1, decay=False)


class Killed(Exception):
    pass


@pytest.fixture
def judged():
    torch.manual_seed(0)
    return JudgedAutoencoder(Autoencoder(SIZES, (16, 24), True), JUDGE).train()


@pytest.fixture
def slices():
    return torch.randn(2, 1, 16, 24, generator=torch.Generator().manual_seed(1))


def seen(judged, slices):
    latent = judged.network.encode(slices, PLACE)
    decoded = judged.network.decode(latent.mean, PLACE)
    return judged.losses(slices, decoded, latent), decoded, latent


def gradient(module):
    return sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)


def test_the_loss_is_the_papers(judged, slices):
    """λ1 L1 + λ2 KL − λ3 log Dis(X), and the binary cross-entropy of the discriminator (Baur et al. 2018)."""
    found, decoded, latent = seen(judged, slices)
    real, fake = (torch.sigmoid(judged.discriminator(x)) for x in (slices, decoded))
    l1 = (slices - decoded).abs().mean()
    wanted = 2 * l1 + 0.3 * latent.kl().mean() / (16 * 24) - 0.5 * fake.log().mean()
    torch.testing.assert_close(found["loss"], wanted)
    torch.testing.assert_close(judged.discriminator_loss(), -real.log().mean() - (1 - fake).log().mean())


def test_each_loss_reaches_one_of_the_two(judged, slices):
    found, _, _ = seen(judged, slices)
    found["loss"].backward()
    assert gradient(judged.network) > 0
    assert gradient(judged.discriminator) == 0
    judged.zero_grad()
    judged.discriminator_loss().backward()
    assert gradient(judged.network) == 0
    assert gradient(judged.discriminator) > 0


def test_the_kl_divergence_teaches_the_encoder_alone(judged, slices):
    judged.network.encode(slices, PLACE).kl().mean().backward()
    assert gradient(judged.network.encoder) > 0
    assert gradient(judged.network.decoder) == gradient(judged.network.out_of) == 0


class Two(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = (torch.nn.Linear(1, 1, bias=False) for _ in range(2))
        for part in (self.first, self.second):
            torch.nn.init.zeros_(part.weight)

    @property
    def parts(self):
        return ((self.first, 1.0),)


def test_the_turn_comes_after_the_step_at_its_own_rate(tmp_path):
    model, before = Two(), []

    def loss():
        before.append((model.first.weight.item(), model.second.weight.item()))
        return -model.second.weight.sum()

    def losses(_rng, _step):
        return {"loss": -model.first.weight.sum()}

    schedule = Schedule(steps=3, lr=1e-3, warm_up=1, decay=False, validate_every=3)
    turn = Turn(model.second, 1e-4, loss, "second")
    history = fit(model, losses, lambda: 0.0, tmp_path, schedule, CPU, turn)
    assert [round(a, 6) for a, _ in before] == [0.001, 0.002, 0.003]
    assert [round(b, 6) for _, b in before] == [0, 0.0001, 0.0002]
    assert math.isclose(model.second.weight.item(), 3e-4, rel_tol=1e-3)
    assert len(history["second"]) == 1


def trained(folder, healthy, config=JUDGE, until=None):
    """Train a small AnoVAEGAN; it dies in the step after step `until`."""
    grid = GridSpec(shape=(16, 24), spacing=8.0)
    stack = Stack.of([healthy(0), healthy(1)], grid)
    torch.manual_seed(3)
    network = Autoencoder(SIZES, (16, 24), True)
    training = AutoencoderTraining(schedule=SCHEDULE, adversarial=config)
    encode, taken = network.encode, []

    def counted(slices, position):
        if network.training:
            taken.append(1)
            if until is not None and len(taken) > until:
                raise Killed
        return encode(slices, position)

    network.encode = counted
    bundle = VAEConfig(title="small", description="", grid=grid, network=SIZES)
    train_network(network, TrainingRun(bundle, training, stack, stack, folder, CPU))
    return network


def test_a_killed_training_of_two_optimisers_ends_where_an_unbroken_one_ends(healthy, tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole", healthy)
    clock = iter(range(0, 10**9, 100))  # a checkpoint at each step
    monkeypatch.setattr("napari_vqad.train.fit.time.monotonic", lambda: next(clock))
    with pytest.raises(Killed):
        trained(tmp_path / "broken", healthy, until=4)
    again = trained(tmp_path / "broken", healthy)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    one, other = (load_file(tmp_path / name / CHECKPOINT) for name in ("whole", "broken"))
    assert {name.partition(".")[0] for name in one} == {"model", "adam", "adam-of-turn", "kept"}
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(other[name], tensor), name


def test_a_checkpoint_without_an_adversary_is_refused(healthy, tmp_path):
    trained(tmp_path, healthy, config=None)
    with pytest.raises(InputError, match=r"another recipe: training\.adversarial is null, and a table here"):
        trained(tmp_path, healthy)
