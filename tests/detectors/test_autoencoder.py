"""Autoencoders and VAEs as detectors: what they compute, what changes nothing, training, bundle, study."""

import json

import numpy as np
import pytest
import torch
from commands import run
from waves import pack_waves

from napari_vqad.detectors.autoencoder import AutoencoderDetector
from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vae import VAEDetector
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.export.study import open_study, save_study
from napari_vqad.nets.autoencoder import Autoencoder, AutoencoderSizes, Latent, loss

SIZES = AutoencoderSizes(channels=(8, 8), blocks=(1, 1), patch=2, code_dim=4, condition=8, latent=6)
RECIPE = """
detector = "{kind}"
title = "Small"
description = "A recipe for tests."
[grid]
shape = [16, 24]
spacing = 8.0
[network]
channels = [8, 8]
blocks = [1, 1]
code_dim = 4
condition = 8
latent = 6
spatial = {spatial}
[training]
schedule = {{ steps = 40, batch = 8, lr = 3e-3, validate_every = 20 }}
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Training, validation and calibration data."""
    return pack_waves(tmp_path_factory.mktemp("packed"), (16, 24), 12)


@pytest.fixture(scope="module", params=["autoencoder", "vae"])
def trained(request, packed, tmp_path_factory):
    """A trained and calibrated bundle of each kind; the VAE's latent is spatial."""
    folder = tmp_path_factory.mktemp("trained")
    recipe, out = folder / "r.toml", folder / request.param
    recipe.write_text(RECIPE.format(kind=request.param, spatial=str(request.param == "vae").lower()))
    assert run("train", "autoencoder", "--config", recipe, "--data", packed, "--out", out) == 0
    assert run("calibrate", out, "--data", packed) == 0
    return out


def explored(bundle, head, **settings):
    explorer = Explorer(bundle, Settings(score="intensity", pooling="none", **settings))
    explorer.load_scan(*head)
    explorer.finish()
    return explorer


@pytest.mark.parametrize("spatial", [False, True])
@pytest.mark.parametrize("variational", [False, True])
def test_it_fits_one_batch(spatial, variational):
    torch.manual_seed(0)
    sizes = SIZES.model_copy(update={"spatial": spatial, "kl": 0.01})
    network, place = Autoencoder(sizes, (16, 24), variational), torch.tensor([-0.5, 0.5])
    slices = torch.nn.functional.interpolate(torch.randn(2, 1, 2, 3), (16, 24), mode="bilinear")
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(120):
        latent = network.encode(slices, place)
        decoded = network.decode(latent.sample(torch.randn(latent.mean.shape)), place)
        found = loss(network, slices, decoded, latent).mean()
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
    rest = (network.decode(network.encode(slices, place).mean, place) - slices).abs().mean()
    assert rest < 0.4 * slices.abs().mean()


def test_the_kl_divergence_is_that_of_two_normal_distributions():
    mean, log_variance = torch.tensor([[0.5, -1.0], [0.0, 0.0]]), torch.tensor([[0.2, -0.4], [0.0, 0.0]])
    q = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    wanted = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(Latent(mean, log_variance).kl(), wanted)
    assert Latent(mean, None).kl().tolist() == [0, 0]


def test_the_loss_is_l1_and_kl_as_means_over_the_pixels():
    network = Autoencoder(SIZES.model_copy(update={"kl": 2.0}), (16, 24), True)
    slices, decoded = torch.randn(3, 1, 16, 24), torch.randn(3, 1, 16, 24)
    latent = Latent(torch.randn(3, 6), torch.randn(3, 6))
    wanted = (slices - decoded).abs().mean((1, 2, 3)) + 2 * latent.kl() / (16 * 24)
    assert torch.allclose(loss(network, slices, decoded, latent), wanted)


def test_an_autoencoder_shows_its_reconstruction_and_how_far_it_is(head):
    torch.manual_seed(0)
    detector = AutoencoderDetector(Autoencoder(SIZES, (16, 24), False).eval())
    assert (detector.variants, detector.loss_title) == (("autoencoder",), "AE loss")
    assert [spec.name for spec in detector.maps] == ["restoration", "residual"]


def test_maps_are_what_the_network_says(trained, head):
    bundle = Bundle.load(trained, "cpu")
    explorer = explored(bundle, head, n_restorations=3, k=0.0)
    grid, network = explorer.grid, bundle.detector.network
    slices, place = torch.from_numpy(grid.slices)[:, None], torch.from_numpy(grid.position)
    with torch.inference_mode():
        mean = network.decode(network.encode(slices, place).mean, place)[:, 0].numpy()
    apart = explorer.map("restoration") - mean
    assert np.abs(apart).mean() < (0.02 if bundle.detector.kind == "autoencoder" else 0.5)
    residual = explorer.map("residual")
    assert (residual[~grid.mask] == 0).all()
    if bundle.detector.kind == "autoencoder":
        np.testing.assert_allclose(residual, np.abs(grid.slices - explorer.map("restoration")) * grid.mask, atol=1e-5)
        return
    pictures = np.stack([explorer.map("restoration_j", j) for j in range(3)])
    np.testing.assert_allclose(residual, np.abs(grid.slices - pictures).mean(0) * grid.mask, atol=2e-3)
    assert np.abs(pictures[0] - pictures[1]).max() > 0


def test_more_draws_keep_the_first_and_another_seed_gives_others(trained, head):
    bundle = Bundle.load(trained, "cpu")
    if bundle.detector.kind != "vae":
        assert "n_restorations" not in bundle.detector.Settings.model_fields
        return
    few, many = (explored(bundle, head, n_restorations=n) for n in (2, 5))
    other = explored(bundle, head, n_restorations=2, seed=1)
    for j in range(2):
        np.testing.assert_array_equal(few.map("restoration_j", j), many.map("restoration_j", j))
        assert np.abs(few.map("restoration_j", j) - other.map("restoration_j", j)).max() > 0


def test_the_loss_is_a_score_of_slices(trained, head):
    bundle = Bundle.load(trained, "cpu")
    grid = explored(bundle, head).grid
    network = bundle.detector.network
    slices, place = torch.from_numpy(grid.slices)[:, None], torch.from_numpy(grid.position)
    with torch.inference_mode():
        latent = network.encode(slices, place)
        wanted = loss(network, slices, network.decode(latent.mean, place), latent).numpy()
    np.testing.assert_allclose(bundle.detector.loss(grid.slices, grid.position), wanted, rtol=1e-5)
    assert bundle.detector.loss_title in ("AE loss", "VAE loss")


def test_the_card_says_what_it_is(trained):
    card = (trained / "README.md").read_text()
    assert "M parameters" in card
    assert "napari-vqad train autoencoder --config r" in card
    assert ("KL divergence" in card) == (trained.name == "vae")


def test_a_study_of_it_opens_again(trained, head, tmp_path):
    explorer = explored(Bundle.load(trained, "cpu"), head, n_restorations=2)
    volume, mask = head
    save_study(tmp_path / "s.vqad", explorer, mask)
    again = open_study(tmp_path / "s.vqad", volume, bundle=explorer.bundle, device="cpu").explorer
    np.testing.assert_array_equal(again.map("pixel_score"), explorer.map("pixel_score"))
    assert again.complete


def test_results_of_another_shape_are_refused(trained, head):
    explorer = explored(Bundle.load(trained, "cpu"), head, n_restorations=2)
    detector, shape = explorer.detector, explorer.grid.slices.shape[1:]
    stage = detector.stages[-1].name
    if detector.kind == "vae":
        wrong = {"encode": [{}], stage: [{"difference": np.zeros((2, 3, 3), np.float16)}]}
        right = {"encode": [{}], stage: [{"difference": np.zeros((2, *shape), np.float16)}]}
    else:
        wrong = {stage: [{"reconstruction": np.zeros((1, 3, 3), np.float32)}]}
        right = {stage: [{"reconstruction": np.zeros((1, *shape), np.float32)}]}
    assert detector.fits(right, shape)
    assert not detector.fits(wrong, shape)
    assert not detector.fits({stage: []} if detector.kind == "vae" else {}, shape)


def test_a_killed_training_goes_on(packed, tmp_path, capsys):
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.format(kind="vae", spatial="false"))
    words = ("train", "autoencoder", "--config", recipe, "--data", packed, "--out", tmp_path / "out")
    assert run(*words) == 0
    capsys.readouterr()
    assert run(*words) == 0
    assert "resumed at step 40" in capsys.readouterr().out
    other = (*words[:-1], tmp_path / "other")
    assert run(*other, "--set", "network.latent=5") == 0
    assert read_config(tmp_path / "other").network.latent == 5
    assert run(*other, "--set", "network.latent") == 2
    assert "not of the form" in capsys.readouterr().err


def test_an_adversary_and_strided_networks_are_chosen_in_the_recipe(packed, head, tmp_path):
    recipe, out = tmp_path / "r.toml", tmp_path / "out"
    text = RECIPE.format(kind="vae", spatial="true").replace("steps = 40", "steps = 4").replace("code_dim = 4\n", "")
    text = text.replace("blocks = [1, 1]\ncondition", 'kind = "strided"\n#').replace("latent = 6", "latent = 3")
    recipe.write_text(text + "[training.adversarial]\nwidth = 4\nhalvings = 1\nweight = 0.25\n")
    words = ("train", "autoencoder", "--config", recipe, "--data", packed, "--out", out)
    assert run(*words) == 0
    assert run("calibrate", out, "--data", packed) == 0
    assert "a patch discriminator with weight 0.25, itself trained at 0.0001" in (out / "README.md").read_text()
    detector = (few := explored(Bundle.load(out, "cpu"), head, n_restorations=2)).detector
    assert detector.network.latent_shape == (3, 4, 6)
    assert not any("discriminator" in name for name in detector.network.state_dict())  # the bundle does without
    assert np.abs(few.map("restoration_j", 0) - few.map("restoration_j", 1)).max() > 0
    assert run(*words, "--set", "training.adversarial.weight=-1") == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"vae"', '"pca"', "does not say detector = one of autoencoder, vae"),
        ("[16, 24]", "[18, 24]", "no whole number"),
        ("latent = 6", "latent = 0", "latent"),
        ("spatial = false", "spatial = false\ncontext = 8", "no context"),
        ("steps = 40", "steps = 0", "steps"),
    ],
)
def test_a_recipe_that_does_not_fit_is_one_sentence(old, new, said, packed, tmp_path, capsys):
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.format(kind="vae", spatial="false").replace(old, new))
    assert run("train", "autoencoder", "--config", recipe, "--data", packed, "--out", tmp_path / "out") == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert not (tmp_path / "out").exists()


def test_a_network_of_other_sizes_is_refused(trained, tmp_path):
    import shutil

    copy = shutil.copytree(trained, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["network"]["latent"] = 5
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"network\.safetensors has"):
        Bundle.load(copy, "cpu")


def test_a_vae_declares_the_maps_of_its_samples():
    from napari_vqad.detectors.vq.detector import VQDetector

    names = [spec.name for spec in VAEDetector.maps]
    assert names == [spec.name for spec in VQDetector.maps if spec.name not in ("nll", "nll_all")]
