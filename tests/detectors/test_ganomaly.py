"""GANomaly: what its networks compute, how they descend, training, bundle, study."""

import json
import shutil

import numpy as np
import pytest
import torch
from commands import run
from waves import pack_waves

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.ganomaly import GanomalyConfig
from napari_vqad.detectors.settings import Settings
from napari_vqad.display import slice_scores
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.metrics import in_table, rank
from napari_vqad.evaluate.variants import Variant
from napari_vqad.export.study import open_study, save_study
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.volume import Volume
from napari_vqad.nets.ganomaly import GanomalySizes, Generator
from napari_vqad.train.ganomaly import COMMAND, GanomalyTraining, GeneratorAndDiscriminator

SIZES = GanomalySizes(channels=(8, 8, 8), latent=6)
RECIPE = """
detector = "ganomaly"
title = "Small"
description = "A recipe for tests."
[grid]
shape = [18, 28]
spacing = 8.0
[network]
channels = [8, 8, 8]
latent = 6
[training]
schedule = { steps = 30, batch = 8, lr = 2e-3, validate_every = 15 }
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Training, validation and calibration data."""
    return pack_waves(tmp_path_factory.mktemp("packed"), (18, 28), 12)


@pytest.fixture(scope="module")
def trained(packed, tmp_path_factory):
    """A trained and calibrated bundle."""
    folder = tmp_path_factory.mktemp("trained")
    recipe, out = folder / "r.toml", folder / "ganomaly"
    recipe.write_text(RECIPE)
    assert run("train", "ganomaly", "--config", recipe, "--data", packed, "--out", out) == 0
    assert run("calibrate", out, "--data", packed) == 0
    return out


def explored(bundle, volume, mask):
    explorer = Explorer(bundle, Settings(score="intensity", pooling="none"))
    explorer.load_scan(volume, mask)
    explorer.finish()
    return explorer


def descend(pair, slices, steps, rate=2e-3):
    optimiser = torch.optim.Adam(pair.parameters(), rate, betas=(0.5, 0.999))
    for _ in range(steps):
        found = pair.losses(slices)
        optimiser.zero_grad()
        found["loss"].backward()
        optimiser.step()
    return found


def pair_of(**weights):
    torch.manual_seed(0)
    config = GanomalyConfig(title="t", description="d", grid=GridSpec(shape=(18, 28)), network=SIZES)
    return GeneratorAndDiscriminator(config, GanomalyTraining(**weights))


def test_it_overfits_one_slice_and_its_latent():
    slices = torch.nn.functional.interpolate(torch.randn(1, 1, 3, 4, generator=torch.manual_seed(0)), (18, 28))
    pair = pair_of()
    descend(pair, slices.repeat(2, 1, 1, 1), 80)
    network = pair.generator
    x = network.scaled(slices.repeat(2, 1, 1, 1))
    with torch.no_grad():
        passed = network(x)
    assert (network.unscaled(passed.decoded) - slices).abs().mean() < 0.2 * slices.abs().mean()
    assert (passed.z - passed.z_again).abs().mean() < 0.2 * passed.z.abs().mean()


def test_each_loss_reaches_its_own_network_alone():
    slices = torch.randn(4, 1, 18, 28)
    pair = pair_of(w_con=0, w_enc=0, w_adv=0)
    pair.losses(slices)["loss"].backward()
    assert all(not p.grad.any() for p in pair.generator.parameters())
    alone = [p.grad.clone() for p in pair.discriminator.parameters()]
    pair = pair_of()
    pair.losses(slices)["loss"].backward()
    for ours, wanted in zip((p.grad for p in pair.discriminator.parameters()), alone, strict=True):
        torch.testing.assert_close(ours, wanted)
    assert any(p.grad.any() for p in pair.generator.encoder_again.parameters())


def test_losses_are_those_of_the_paper():
    pair, slices = pair_of(w_con=3.0, w_enc=5.0, w_adv=7.0), torch.randn(4, 1, 18, 28)
    found = pair.losses(slices)
    x = pair.generator.scaled(slices)
    z = pair.generator.encoder(x)
    decoded = pair.generator.decoder(z)
    again = pair.generator.encoder_again(decoded)
    (real, f_real), (fake, f_fake) = pair.discriminator(x), pair.discriminator(decoded)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    learn = (cross_entropy(real, torch.ones(4)) + cross_entropy(fake, torch.zeros(4))) / 2
    wanted = 3 * (x - decoded).abs().mean() + 5 * ((z - again) ** 2).mean() + 7 * ((f_real - f_fake) ** 2).mean()
    torch.testing.assert_close(found["loss"], wanted + learn)


@pytest.mark.parametrize("shape", [(16, 24), (18, 28), (19, 23)])
def test_a_slice_keeps_its_size_whatever_the_halvings_round(shape):
    network = Generator(SIZES, shape, (-3.0, 4.0)).eval()
    passed = network(torch.zeros(2, 1, *shape))
    assert passed.decoded.shape == (2, 1, *shape)
    assert passed.z.shape == passed.z_again.shape == (2, 6)
    assert network.unscaled(torch.tensor([-1.0, 1.0])).tolist() == [-3.0, 4.0]


def test_a_loaded_detector_gives_the_same_scores(trained, head, tmp_path):
    bundle = Bundle.load(trained, "cpu")
    bundle.detector.save(tmp_path)
    copy = shutil.copytree(trained, tmp_path / "copy")
    shutil.copy(tmp_path / "network.safetensors", copy)
    ours, again = (explored(b, *head) for b in (bundle, Bundle.load(copy, "cpu")))
    np.testing.assert_array_equal(ours.sample_scores(), again.sample_scores())
    np.testing.assert_array_equal(ours.map("residual"), again.map("residual"))


@pytest.mark.parametrize("axes", [(1, 2, 0), (2, 0, 1)])
def test_maps_lie_in_the_space_of_the_scan(trained, head, axes):
    """The same head, its voxels stored in another order, has the same maps at the same points."""
    volume, mask = head
    bundle = Bundle.load(trained, "cpu")
    turned = Volume.from_array(volume.voxels.transpose(axes), volume.affine[:, [*axes, 3]])
    ours, wanted = explored(bundle, turned, mask), explored(bundle, volume, mask)
    for name in ("restoration", "residual"):
        found = turned.to_file(ours.grid.to_scan(ours.map(name)))
        np.testing.assert_allclose(found.transpose(np.argsort(axes)), wanted.grid.to_scan(wanted.map(name)), atol=1e-4)


def test_the_score_of_a_slice_is_the_mean_distance_of_its_latents(trained, head):
    bundle = Bundle.load(trained, "cpu")
    explorer, network = explored(bundle, *head), bundle.detector.network
    grid = explorer.grid
    with torch.no_grad():
        x = network.scaled(torch.from_numpy(grid.slices)[:, None])
        z = network.encoder(x)
        wanted = (z - network.encoder_again(network.decoder(z))).abs().mean(1).numpy()
    chosen = explorer.chosen()
    np.testing.assert_allclose(explorer.sample_scores()[chosen], wanted[chosen], rtol=1e-4)
    assert "GANomaly" not in slice_scores.title(explorer)
    explorer.change(explorer.settings.model_copy(update={"slice_score": "sample", "flag_slices": "p50"}))
    np.testing.assert_array_equal(explorer.slice_scores(), explorer.sample_scores())
    assert slice_scores.title(explorer) == "GANomaly score, |z − ẑ|"
    limit = np.interp(50, bundle.calibration.levels, bundle.calibration.slice_score["0"])
    np.testing.assert_array_equal(explorer.flagged_slices()[chosen], wanted[chosen] > limit)
    assert "distance" in slice_scores.explained(explorer)
    voxels, slices = Variant("sample-wise", "sample").score(explorer, explorer.settings, None)
    np.testing.assert_array_equal(slices, np.nan_to_num(explorer.sample_scores()))
    assert np.isnan(voxels).all()  # this score has no map
    assert in_table(rank(voxels, grid.mask).auroc) == "–"
    assert in_table(rank(slices, slices > np.median(slices)).auroc) == "1.00"


def test_the_card_says_what_it_is(trained):
    card = (trained / "README.md").read_text()
    assert "latent of 6 numbers" in card
    assert "with weights 50, 1 and 1" in card
    assert "napari-vqad train ganomaly --config r" in card


def test_a_study_of_it_opens_again(trained, head, tmp_path):
    explorer = explored(Bundle.load(trained, "cpu"), *head)
    volume, mask = head
    save_study(tmp_path / "s.vqad", explorer, mask)
    again = open_study(tmp_path / "s.vqad", volume, bundle=explorer.bundle, device="cpu").explorer
    np.testing.assert_array_equal(again.map("pixel_score"), explorer.map("pixel_score"))
    detector, shape = explorer.detector, explorer.grid.slices.shape[1:]
    one = {"reconstruction": np.zeros((1, *shape), np.float32), "latent_error": np.zeros((1, 6), np.float32)}
    assert detector.fits({"reconstruct": [one, {}]}, shape)
    assert not detector.fits({"reconstruct": [one | {"latent_error": np.zeros((1, 5), np.float32)}]}, shape)
    assert not detector.fits({"reconstruct": [{"reconstruction": one["reconstruction"]}]}, shape)


def test_a_training_goes_on_from_its_checkpoint(packed, trained, tmp_path, capsys):
    recipe, out = tmp_path / "r.toml", tmp_path / "out"
    recipe.write_text(RECIPE)
    words = ("train", "ganomaly", "--config", recipe, "--data", packed, "--out", out)
    shutil.copytree(trained / ".training", out / ".training")
    assert run(*words) == 0
    assert "resumed at step 30" in capsys.readouterr().out
    assert (out / "network.safetensors").read_bytes() == (trained / "network.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"ganomaly"', '"vae"', "does not say detector = ganomaly, but 'vae'"),
        ("[18, 28]", "[7, 28]", "too small for 3 halvings"),
        ("latent = 6", "latent = 0", "latent"),
        ("steps = 30", "steps = 0", "steps"),
    ],
)
def test_a_recipe_that_does_not_fit_is_one_sentence(old, new, said, packed, tmp_path, capsys):
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE.replace(old, new))
    assert run("train", "ganomaly", "--config", recipe, "--data", packed, "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_optimiser_is_that_of_the_paper_unless_a_recipe_says_otherwise(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(RECIPE)
    _, training = COMMAND.read_recipe(recipe)
    assert (training.schedule.beta1, training.schedule.lr, training.schedule.clip) == (0.5, 2e-3, 0.0)
    for name in ("ixi-ganomaly", "ped2-ganomaly", "ped2-paper-ganomaly"):
        config, training = COMMAND.read_recipe(name)
        assert (training.schedule.lr, training.schedule.beta1) == (2e-4, 0.5)
        assert (training.w_con, training.w_enc, training.w_adv) == (50, 1, 1)
        assert config.network.latent == 100


def test_a_network_of_other_sizes_is_refused(trained, tmp_path):
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["network"]["latent"] = 5
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"network\.safetensors has"):
        Bundle.load(copy, "cpu")
