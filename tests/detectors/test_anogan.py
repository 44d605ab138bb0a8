"""AnoGAN as a detector: training, bundle, latent search in the explorer, what continues and what stops."""

import json
import shutil
import threading
import time

import numpy as np
import pytest
import torch
from commands import run
from some_slices import explored
from waves import pack_waves

from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.gradient_steps import AT_ONCE
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.nets.gan import GanSizes
from napari_vqad.nets.latent_search import LatentSearch
from napari_vqad.train.gan import COMMAND, Gan, GanTraining, gradient_penalty

SIZES, SHAPE = GanSizes(latent=4, channels=(4, 6, 8), condition=4), (16, 24)
RECIPE = """
detector = "anogan"
title = "Small"
description = "A recipe for tests."
[grid]
shape = [16, 24]
spacing = 8.0
[network]
latent = 4
channels = [4, 6, 8]
condition = 4
[training]
schedule = { steps = 8, batch = 4, lr = 3e-3, beta1 = 0.5, validate_every = 4 }
"""


@pytest.fixture
def counted(monkeypatch):
    """The steps that searches take, slice by slice."""
    taken = []
    search = LatentSearch.run

    def run(self, state, steps, rate, check):
        taken.extend([steps - state.steps] * len(state.z))
        return search(self, state, steps, rate, check)

    monkeypatch.setattr(LatentSearch, "run", run)
    return taken


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Training, validation and calibration data."""
    return pack_waves(tmp_path_factory.mktemp("packed"), SHAPE, 8, scans=1)


@pytest.fixture(scope="module")
def trained(packed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "r.toml").write_text(RECIPE)
    assert run("train", "gan", "--config", folder / "r.toml", "--data", packed, "--out", folder / "gan") == 0
    assert run("calibrate", folder / "gan", "--data", packed) == 0
    return folder / "gan"


def test_trained_and_calibrated_it_has_a_card_and_tables(trained):
    card, bundle = (trained / "README.md").read_text(encoding="utf-8"), Bundle.load(trained, "cpu")
    assert "napari-vqad train gan --config r" in card
    assert "latent of 4 numbers" in card
    assert 0 < bundle.calibration.value("slice_score", "p50") <= bundle.calibration.value("slice_score", "p99")


def test_a_gan_learns_one_slice():
    torch.manual_seed(0)
    training = GanTraining(average=0.9, penalty=0.1)
    gan, place = Gan(SIZES, SHAPE, training).train(), torch.zeros(8)
    slice_ = torch.nn.functional.interpolate(torch.randn(1, 1, 2, 3), SHAPE, mode="bilinear").repeat(8, 1, 1, 1)
    optimiser = torch.optim.Adam([p for part, _ in gan.parts for p in part.parameters()], lr=5e-3, betas=(0.5, 0.99))

    def apart():
        with torch.no_grad():
            return float((gan.averaged.eval()(torch.randn(8, 4), place) - slice_).abs().mean())

    before = apart()
    for step in range(150):
        gan.update_average(step)
        optimiser.zero_grad()
        gan.losses(slice_, place, torch.randn(8, 4))["loss"].backward()
        optimiser.step()
    assert apart() < 0.5 * before


def test_each_loss_teaches_its_own_network():
    torch.manual_seed(0)
    gan = Gan(SIZES, SHAPE, GanTraining(penalty=0.0)).train()
    found = gan.losses(torch.randn(2, 1, *SHAPE), torch.zeros(2), torch.randn(2, 4))
    critic, generator = (list(part.parameters()) for part in (gan.discriminator, gan.generator))
    alone = torch.autograd.grad(found["discriminator"], critic, retain_graph=True)
    assert torch.autograd.grad(found["discriminator"], generator, retain_graph=True, allow_unused=True)[0] is None
    found["loss"].backward()
    for parameter, gradient in zip(critic, alone, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert all(p.grad.abs().sum() > 0 for p in gan.generator.dense.parameters())
    assert not any(p.requires_grad for p in gan.averaged.parameters())


def test_the_gradient_penalty_is_that_of_the_real_slices():
    torch.manual_seed(0)
    critic = Gan(SIZES, SHAPE, GanTraining()).discriminator
    slices, place = torch.randn(3, 1, *SHAPE, requires_grad=True), torch.zeros(3)
    each = [torch.autograd.grad(critic(slices, place)[i], slices)[0][i].square().sum() for i in range(3)]
    torch.testing.assert_close(gradient_penalty(critic, slices, place), torch.stack(each).mean())


def test_saved_and_loaded_it_is_the_same(tiny_anogan, trained, tmp_path):
    assert read_config(trained).network == SIZES
    detector = Bundle.load(tiny_anogan, "cpu").detector
    detector.save(tmp_path)
    for name in detector.files:
        assert (tmp_path / name).read_bytes() == (tiny_anogan / name).read_bytes()
    assert {p.name for p in trained.glob("*.safetensors")} == set(detector.files)


def test_a_killed_training_goes_on(trained, packed, capsys):
    recipe = trained.parent / "r.toml"
    assert run("train", "gan", "--config", recipe, "--data", packed, "--out", trained) == 0
    assert "resumed at step 8" in capsys.readouterr().out


def test_more_steps_continue_the_searches(tiny_anogan, head, counted):
    explorer = explored(tiny_anogan, head, search_steps=4)
    n = len(counted)
    assert counted == [4] * n
    explored(tiny_anogan, head, explorer, search_steps=10)
    assert counted[n:] == [6] * n
    explored(tiny_anogan, head, explorer, search_steps=12, search_rate=0.2)
    assert counted[2 * n :] == [12] * n, "another step size begins again"
    whole = explored(tiny_anogan, head, search_steps=10)
    explored(tiny_anogan, head, explorer, search_steps=10)
    for name in ("restoration", "residual", "pixel_score"):
        np.testing.assert_allclose(explorer.map(name), whole.map(name), atol=2e-3, err_msg=name)


def test_more_searches_keep_the_first(tiny_anogan, head, counted):
    explorer = explored(tiny_anogan, head, search_steps=3)
    n, first = len(counted), explorer.map("restoration_j", 0).copy()
    explored(tiny_anogan, head, explorer, search_steps=3, searches=3)
    assert len(counted) == 3 * n
    np.testing.assert_array_equal(explorer.map("restoration_j", 0), first)
    assert np.abs(explorer.map("restoration_j", 1) - first).max() > 0


def test_maps_are_what_the_generator_makes(tiny_anogan, head):
    explorer = explored(tiny_anogan, head, search_steps=3)
    detector, grid = explorer.detector, explorer.grid
    z, chosen = torch.from_numpy(explorer.results("search", "z")), explorer.chosen()
    with torch.no_grad():
        made = detector.generator(z, torch.from_numpy(grid.position))[:, 0].numpy()
    np.testing.assert_allclose(explorer.map("restoration")[chosen], made[chosen], atol=5e-3)
    expected = (np.abs(grid.slices - made) * grid.mask)[chosen]
    np.testing.assert_allclose(explorer.map("residual")[chosen], expected, atol=5e-3)


def test_the_loss_of_the_first_search_scores_slices(tiny_anogan, head):
    explorer = explored(tiny_anogan, head, search_steps=3, searches=2, slice_score="sample", flag_slices=0.5)
    loss, chosen = explorer.results("search", "loss"), explorer.chosen()
    np.testing.assert_allclose(explorer.slice_scores()[chosen], loss[chosen])
    np.testing.assert_array_equal(explorer.flagged_slices(), (loss > 0.5) & chosen)
    grid, detector = explorer.grid, explorer.detector
    search = LatentSearch(
        detector.generator,
        detector.discriminator,
        torch.from_numpy(grid.slices)[:, None],
        torch.from_numpy(grid.position),
        0.1,
    )
    with torch.no_grad():
        expected = search.loss(torch.from_numpy(explorer.results("search", "z")))[0].numpy()
    np.testing.assert_allclose(loss[chosen], expected[chosen], rtol=1e-4)


def test_the_slice_in_view_is_first_and_progress_is_reported_after_a_few(tiny_anogan, head):
    explorer = Explorer(Bundle.load(tiny_anogan, "cpu"), Settings(search_steps=1))
    explorer.load_scan(*head)
    lots = [progress.slices for progress in explorer.work()]
    assert lots[0] == (explorer.focus,)
    assert max(map(len, lots)) == AT_ONCE
    assert sum(map(len, lots)) == explorer.n_slices > AT_ONCE + 1


def test_it_is_cancelled_within_a_second(tiny_anogan, head):
    settings = Settings(search_steps=1000, searches=10)
    explorer = Explorer(Bundle.load(tiny_anogan, "cpu"), settings)
    explorer.load_scan(*head)
    work = threading.Thread(target=explorer.finish)
    work.start()
    time.sleep(0.3)
    began = time.monotonic()
    explorer.cancel()
    work.join(5)
    assert time.monotonic() - began < 1
    assert not explorer.complete


def test_results_of_another_shape_are_refused(tiny_anogan, head):
    explorer = explored(tiny_anogan, head, search_steps=1, searches=2)
    detector, shape = explorer.detector, explorer.grid.slices.shape[1:]
    results = explorer.stages().results
    assert detector.fits(results, shape)
    assert not detector.fits(results, (3, 3))
    assert not detector.fits({}, shape)
    one = next(arrays for arrays in results["search"] if arrays)
    assert not detector.fits({"search": [one | {"z": one["z"][:1]}]}, shape)
    assert not detector.fits({"search": [{"z": one["z"]}]}, shape)


def test_a_network_of_other_sizes_is_refused(tiny_anogan, tmp_path):
    copy = shutil.copytree(tiny_anogan, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["network"]["latent"] = 5
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"generator\.safetensors has"):
        Bundle.load(copy, "cpu")
    shutil.copy(tiny_anogan / "generator.safetensors", tmp_path / "copy" / "discriminator.safetensors")
    shutil.copy(tiny_anogan / "config.json", copy / "config.json")
    with pytest.raises(InputError, match=r"discriminator\.safetensors lacks"):
        Bundle.load(copy, "cpu")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"anogan"', '"pca"', "does not say detector = anogan"),
        ("[16, 24]", "[18, 24]", "no whole number"),
        ("latent = 4", "latent = 0", "latent"),
        ("[4, 6, 8]", "[4]", "channels"),
    ],
)
def test_a_recipe_that_does_not_fit_is_one_sentence(old, new, said, packed, tmp_path, capsys):
    (tmp_path / "r.toml").write_text(RECIPE.replace(old, new))
    assert run("train", "gan", "--config", tmp_path / "r.toml", "--data", packed, "--out", tmp_path / "out") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["ixi-anogan", "anogan-baur"])
def test_the_recipes_that_come_along_are_read(name):
    config, training = COMMAND.read_recipe(name)
    assert config.network.latent == 64
    assert training.schedule.beta1 == 0.5
