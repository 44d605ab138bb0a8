"""Recipes of autoencoders at the papers' sizes against Baur et al. 2018 and Meissen et al. 2022 (appendix B)."""

import pytest
import torch
from torch import nn

from napari_vqad.nets.blank import blank
from napari_vqad.nets.blocks import ResBlock
from napari_vqad.nets.weights import save_weights
from napari_vqad.train.autoencoder import COMMAND, DETECTORS

# Detector, z, adversary.
BAUR = {
    "dae": ("autoencoder", (512,), False),
    "sae1": ("autoencoder", (64, 8, 8), False),
    "sae3": ("autoencoder", (64, 16, 16), False),
    "sae-gan": ("autoencoder", (64, 16, 16), True),
    "dvae": ("vae", (512,), False),
    "svae": ("vae", (64, 16, 16), False),
    "anovaegan": ("vae", (64, 16, 16), True),
}
MEISSEN = {"ae": (128,), "spatial": (128, 8, 8)}
SLICES, EPOCHS = 1360, 150  # of Baur et al.


def made(name):
    config, training = COMMAND.read_recipe(name)
    return config, training, blank(lambda: DETECTORS[config.detector].make(config))


@pytest.mark.parametrize("name", BAUR)
def test_rows_of_baur_are_as_in_the_paper(name):
    config, training, network = made(f"baur-{name}-256")
    detector, z, judged = BAUR[name]
    assert (config.detector, network.latent_shape, config.grid.shape) == (detector, z, (256, 256))
    schedule = training.schedule
    assert (schedule.lr, schedule.batch, schedule.steps) == (1e-3, 8, EPOCHS * SLICES // 8)
    assert schedule.patience * schedule.validate_every >= schedule.steps  # it is never stopped early
    assert (schedule.beta2, schedule.decay, schedule.warm_up, schedule.clip) == (0.999, False, 1, 0)
    assert (schedule.weight_decay, schedule.keep) == (0, "last")
    assert (training.adversarial is not None) == judged
    assert not judged or training.adversarial.lr == 1e-4
    with torch.device("meta"):
        slices, place = torch.empty(1, 1, 256, 256), torch.empty(1)
        latent = network.encode(slices, place)
        assert latent.mean.shape == (1, *z)
        assert (latent.log_variance is not None) == (detector == "vae")
        assert network.decode(latent.mean, place).shape == slices.shape


@pytest.mark.parametrize("where", ["baur-{}-256", "ixi-{}"])
def test_encoders_and_decoders_of_baur_are_alike(where):
    networks = {name: made(where.format(name))[2] for name in BAUR}

    def blocks(part):
        return sum(isinstance(m, ResBlock) for m in part.modules())

    assert len({(blocks(n.encoder), blocks(n.decoder)) for n in networks.values()}) == 1
    # Of one grid they are the same but for the channels that a dense layer follows.
    sizes = {name: made(where.format(name))[0].network for name in BAUR}
    assert len({(s.channels, s.blocks, s.patch) for name, s in sizes.items() if BAUR[name][1][1:] == (16, 16)}) == 1
    assert len({(sizes[name].channels, sizes[name].blocks) for name in ("dae", "dvae", "sae1")}) == 1
    assert {s.kl for name, s in sizes.items() if BAUR[name][0] == "vae"} == {0.1}


@pytest.mark.parametrize("name", MEISSEN)
def test_networks_of_meissen_are_as_in_the_paper(name):
    config, training, network = made(f"meissen-{name}-256")
    schedule = training.schedule
    assert (config.detector, network.latent_shape) == ("autoencoder", MEISSEN[name])
    assert (schedule.lr, schedule.batch, schedule.steps, schedule.decay) == (1e-3, 128, 10_000, False)
    assert schedule.weight_decay == 0.01  # AdamW
    assert schedule.patience * schedule.validate_every >= schedule.steps
    assert (training.adversarial, schedule.clip, schedule.warm_up) == (None, 0, 1)
    for half, convolution in ((network.encoder, nn.Conv2d), (network.decoder, nn.ConvTranspose2d)):
        assert [[type(layer) for layer in level] for level in half] == [[convolution, nn.BatchNorm2d, nn.LeakyReLU]] * 5
        assert {level[0].stride for level in half} == {(2, 2)}
    downwards = [(level[0].in_channels, level[0].out_channels) for level in network.encoder][1:]
    assert [(b, a) for a, b in downwards[::-1]] == [
        (level[0].in_channels, level[0].out_channels) for level in network.decoder
    ][:-1]
    assert isinstance(network.out, nn.Conv2d)
    with torch.device("meta"):
        features = network.encoder(torch.empty(2, 1, 256, 256))
        decoded = network.decode(torch.empty(2, *MEISSEN[name]), torch.empty(2))
    assert features.shape[2:] == (8, 8)
    assert decoded.shape == (2, 1, 256, 256)
    dense = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert len(dense) == (2 if name == "ae" else 0)


@pytest.mark.parametrize("name", [*BAUR, *(f"meissen-{n}" for n in MEISSEN)])
def test_small_recipes_are_small_and_keep_the_papers_compression(name):
    config, training, network = made(f"ixi-{name}")
    z = BAUR[name][1] if name in BAUR else MEISSEN[name.removeprefix("meissen-")]
    assert len(network.latent_shape) == len(z)
    if z[1:]:
        assert network.latent_shape[1:] == {8: (9, 11), 16: (18, 22)}[z[1]]
    if name != "meissen-ae":  # which has the paper's latent of 128 numbers itself
        ratio, papers = 72 * 88 / torch.Size(network.latent_shape).numel(), 256**2 / torch.Size(z).numel()
        assert ratio == pytest.approx(papers, rel=0.02)
    assert config.grid.aligned
    megabytes = 2 * sum(p.numel() for p in network.parameters()) / 1e6
    assert megabytes < (1.5 if config.network.spatial else 3)
    assert (training.adversarial is not None) == (name in ("sae-gan", "anovaegan"))


@pytest.mark.parametrize(("latent", "limit"), [(32, 3), (512, 3)])
def test_other_latents_of_the_vanilla_autoencoder_fit_too(latent, limit, tmp_path):
    config, _ = COMMAND.read_recipe("ixi-meissen-ae", [f"network.latent={latent}"])
    save_weights(DETECTORS[config.detector].make(config), tmp_path / "w")
    assert (tmp_path / "w").stat().st_size < limit * 1e6
