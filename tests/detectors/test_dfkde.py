"""DFKDE: kernel density against scipy, fitting on the features of another bundle, and a detector without maps."""

import json
import shutil

import numpy as np
import pytest
import torch
from commands import run
from safetensors.numpy import load_file, save_file
from scipy.stats import gaussian_kde

import napari_vqad
from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.dfkde import DFKDEDetector, pooled_features
from napari_vqad.detectors.settings import Settings
from napari_vqad.display import slice_scores
from napari_vqad.display.columns import columns_of
from napari_vqad.display.readout import read_out
from napari_vqad.display.views import views_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.lesion_detection import evaluate_scan
from napari_vqad.evaluate.variants import methods_of
from napari_vqad.imaging.grid import Grid
from napari_vqad.scores.kernel_density import KernelDensity
from napari_vqad.train.data import SPLITS, Stack
from napari_vqad.train.detector import read_recipe

RECIPE = """
detector = "dfkde"
title = "Small"
description = "A recipe for tests."
components = 5
[grid]
"""


@pytest.fixture(scope="module")
def packed(tiny_bundle, tmp_path_factory):
    """Noise on the grid of the tiny bundles."""
    folder, spec = tmp_path_factory.mktemp("packed"), read_config(tiny_bundle).grid
    mask, place = np.ones((20, *spec.shape), bool), np.linspace(-0.5, 0.5, 20, dtype=np.float32)
    for seed, split in enumerate(SPLITS):
        slices = np.random.default_rng(seed).normal(size=mask.shape).astype(np.float32)
        grid = Grid.of_slices(slices, mask, place, spec.spacing, spec.aligned)
        Stack.of([grid] * 2, spec).save(folder / f"{split}.npz")
    return folder


@pytest.fixture(scope="module", params=["vae", "vq"])
def fitted(request, packed, tiny_bundle, tiny_vae, tmp_path_factory):
    """A calibrated bundle on features of a VAE and of a tokenizer."""
    folder, source = tmp_path_factory.mktemp("dfkde"), {"vae": tiny_vae, "vq": tiny_bundle}[request.param]
    recipe, out, spec = folder / "r.toml", folder / "out", read_config(tiny_bundle).grid
    recipe.write_text(RECIPE + f"shape = {list(spec.shape)}\nspacing = {spec.spacing}\n")
    words = ("train", "detector", "--config", recipe, "--data", packed, "--out", out)
    assert run(*words, "--features", source) == 0
    assert run("calibrate", out, "--data", packed) == 0
    return out


def analysis(head, folder, **settings):
    volume, mask = head
    return napari_vqad.score(volume, mask=mask, bundle=folder, device="cpu", settings=Settings(**settings))


def test_density_is_that_of_scipy():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 4)) @ rng.normal(size=(4, 7)) * [1, 2, 3, 1, 1, 5, 1] + 3
    density = KernelDensity.fit(vectors, 3)
    others = vectors[:5] + rng.normal(size=(5, 7))
    wanted = gaussian_kde(density.points.T.astype(float)).logpdf(density.coordinates(others).T.astype(float))
    np.testing.assert_allclose(density.surprise(others), -wanted, rtol=1e-4)
    np.testing.assert_allclose(np.cov(density.points.T), np.eye(3), atol=1e-4)


def test_density_is_the_sum_over_all_kernels_and_holds_far_away():
    points = np.random.default_rng(1).normal(size=(9, 2))
    density = KernelDensity.fit(points, 2)
    h, u = density.bandwidth, density.coordinates(points[:1] + 0.5)[0]
    assert h == pytest.approx(9 ** (-1 / 6))
    kernels = [np.exp(-((u - p) ** 2).sum() / (2 * h**2)) / (2 * np.pi * h**2) for p in density.points]
    assert density.surprise(points[:1] + 0.5)[0] == pytest.approx(-np.log(np.mean(kernels)), rel=1e-4)
    far = density.surprise(np.array([[1e3, 0.0], [2e3, 0.0]]))
    assert np.isfinite(far).all()
    assert far[1] > far[0] > 1e4


def test_features_without_variance_and_few_slices_are_no_obstacle_but_equal_slices_are():
    vectors = np.random.default_rng(2).normal(size=(3, 6))
    vectors[:, 0] = 7.0
    density = KernelDensity.fit(vectors, 16)
    assert density.points.shape == (3, 2)
    assert np.isfinite(density.surprise(vectors)).all()
    with pytest.raises(ValueError, match="two different"):
        KernelDensity.fit(np.ones((5, 3)), 2)


def test_features_are_means_of_the_encoders_last_level(fitted, packed):
    detector = Bundle.load(fitted, "cpu").detector
    stack = Stack.load(packed / "train.npz")
    slices, place = (torch.from_numpy(a[:3]) for a in (stack.slices(), stack.position))
    with torch.no_grad():
        network = detector.network
        last = network.encoder.features(slices[:, None], network.position(place))[-1]
    found = pooled_features(network, slices.numpy(), place.numpy(), at_once=2)
    np.testing.assert_allclose(found, last.mean((2, 3)).numpy(), rtol=1e-4, atol=1e-6)
    wanted = KernelDensity.fit(pooled_features(network, stack.slices(), stack.position), 5)
    np.testing.assert_allclose(np.abs(detector.density.points), np.abs(wanted.points), atol=1e-3)


def test_a_slice_unlike_all_healthy_ones_scores_higher(fitted, packed):
    explorer = Explorer(Bundle.load(fitted, "cpu"))
    grid = next(Stack.load(packed / "validation.npz").grids(explorer.bundle.config.grid))
    strange = grid.slices.copy()
    strange[4] = 3.0
    scores = []
    for slices in (grid.slices, strange):
        explorer.load_grid(Grid.of_slices(slices, grid.mask, grid.position, grid.spacing, grid.aligned))
        explorer.finish()
        scores.append(explorer.slice_scores())
    assert scores[1].argmax() == 4
    assert scores[1][4] > scores[0][4]
    np.testing.assert_array_equal(np.delete(scores[0], 4), np.delete(scores[1], 4))
    assert explorer.flagged_slices()[4]


def test_the_list_of_models_and_the_card_name_the_network(fitted):
    bundle, source = Bundle.load(fitted, "cpu"), read_config(fitted).features.name
    assert bundle.title == f"Small on features of {source}"
    card = (fitted / "README.md").read_text()
    assert f"on features of {source}" in card
    assert f"--features {source}" in card
    assert "95 % of them score below" in card
    assert "finding" not in card


def test_a_detector_without_maps_shows_and_writes_none(fitted, head, tmp_path):
    result = analysis(head, fitted, flag_slices="p50")
    explorer = result.explorer
    assert not explorer.maps
    assert [view.name for view in views_of(explorer.maps)] == ["Scan"]
    assert [column.title for column in columns_of(explorer.maps)] == ["Scan"]
    assert explorer.complete
    assert np.isfinite(explorer.slice_scores()[explorer.chosen()]).all()
    assert not explorer.map("flagged").any()
    result.save(tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.nii.gz"))
    numbers = napari_vqad.read_result(tmp_path / "out" / "result.json")
    assert set(numbers["thresholds"]) == {"flag_slices"}
    assert numbers["findings"] == []
    assert numbers["slice_scores"] == numbers["sample_scores"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "pixel score" not in page.lower()
    assert "score" not in read_out(explorer, np.zeros(3))
    assert slice_scores.title(explorer) == "−ln p(features), nats"
    assert methods_of(explorer.detector) == ("sample-wise",)


def test_a_study_of_it_opens_again(fitted, head, tmp_path):
    result = analysis(head, fitted)
    napari_vqad.save_study(tmp_path / "s.vqad", result.explorer, result.mask, result.mask_note)
    again = napari_vqad.open_study(tmp_path / "s.vqad", result.volume, bundle=fitted, device="cpu").explorer
    np.testing.assert_array_equal(again.slice_scores(), result.explorer.slice_scores())
    assert not result.explorer.detector.fits({"features": [{"surprise": np.zeros((1, 2), np.float32)}]}, (4, 4))
    assert not result.explorer.detector.fits({"other": []}, (4, 4))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda parts: parts | {"points": parts["points"][:, :2].copy()}, "not a kernel density in at most"),
        (lambda parts: {"mean": parts["mean"]}, "is not a kernel density"),
        (lambda parts: parts | {"sd": parts["sd"] * np.float32(np.nan)}, "not finite"),
        (lambda parts: parts | {"sd": parts["sd"] * 2}, "with other weights"),
    ],
)
def test_another_density_is_refused(fitted, tmp_path, spoil, said):
    copy = shutil.copytree(fitted, tmp_path / "copy")
    save_file(spoil(load_file(copy / "density.safetensors")), copy / "density.safetensors")
    with pytest.raises(InputError, match=said):
        Bundle.load(copy, "cpu")


def test_a_recipe_alone_is_no_bundle_and_needs_a_network(fitted, packed, tiny_pca, tmp_path, capsys):
    copy = shutil.copytree(fitted, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"features": None}))
    with pytest.raises(InputError, match="which network"):
        Bundle.load(copy, "cpu")
    recipe = fitted.parent / "r.toml"
    words = ("train", "detector", "--config", recipe, "--data", packed, "--out", tmp_path / "new")
    for more, said in (
        ((), "give a bundle with --features"),
        (("--features", tiny_pca), "no encoder whose features"),
        (("--features", "ixi-vae"), "another grid"),
    ):
        assert run(*words, *more) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    wrong = tmp_path / "pca.toml"
    wrong.write_text(recipe.read_text().replace('"dfkde"', '"histogram"').replace("components = 5\n", ""))
    assert run(*(wrong if w == recipe else w for w in words), "--features", tiny_pca) == 2
    assert "no use for the features" in capsys.readouterr().err


def test_findings_of_it_cannot_be_evaluated(fitted, tmp_path):
    with pytest.raises(InputError, match="scores slices only"):
        evaluate_scan(Bundle.load(fitted, "cpu"), Settings(), tmp_path / "scan.nii.gz", None, None)


def test_recipes_fit():
    for name in ("ixi-dfkde", "ped2-dfkde"):
        config, cls = read_recipe(name)
        assert cls is DFKDEDetector
        assert config.components == 16
