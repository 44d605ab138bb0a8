"""The experiments of Meissen et al. 2022, on slices whose answers are known."""

import csv

import numpy as np
import pytest

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.errors import InputError
from napari_vqad.evaluate.pitfall_models import model_of
from napari_vqad.evaluate.pitfall_report import FILES
from napari_vqad.evaluate.pitfalls import (
    Images,
    best_matching_blur,
    blind_spot,
    landscape,
    model_curves,
    textures,
)
from napari_vqad.imaging.layout import to_grid
from napari_vqad.train.data import Stack

INTENSITIES, SIGMAS = [0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.5, 1.0, 2.0]


@pytest.fixture(scope="module")
def images():
    """Four slices whose brain has intensities around one half."""
    rng = np.random.default_rng(0)
    mask = np.zeros((4, 32, 32), bool)
    mask[:, 3:29, 3:29] = True
    healthy = np.where(mask, np.clip(rng.normal(0.5, 0.08, mask.shape), 0.2, 0.8), 0).astype(np.float32)
    return Images.with_discs(healthy, mask, np.zeros(4, np.float32), np.array([0, 0, 1, 1]), 5.0)


@pytest.fixture(scope="module")
def surface(images):
    return landscape(images, INTENSITIES, SIGMAS)


def test_a_perfect_healthy_image_finds_every_patch(images, surface):
    assert surface.shape == (5, 4, 4)
    assert surface[:, 0].min() > 0.999


def test_a_blurred_one_is_blind_where_intensities_are_common(surface):
    dip = blind_spot(surface[:, -1], INTENSITIES)
    assert dip.lowest == 0.5
    assert dip.ap == pytest.approx(surface[2, -1].mean())
    assert dip.low <= 0.5 <= dip.high
    assert surface[-1, 1].min() > 0.99


def test_a_curve_that_never_falls_below_one_half_has_no_range():
    dip = blind_spot(np.array([[0.9], [0.6], [0.8]]), [0.0, 0.5, 1.0])
    assert (dip.lowest, dip.ap) == (0.5, 0.6)
    assert np.isnan([dip.low, dip.high]).all()


def test_a_range_ends_where_the_curve_rises_above_one_half():
    curve = np.array([[0.4], [0.7], [0.3], [0.1], [0.6]])
    dip = blind_spot(curve, INTENSITIES)
    assert (dip.lowest, dip.low, dip.high) == (0.75, 0.5, 0.75)


@pytest.mark.parametrize("sigma", [1, 2, 3])
def test_a_model_that_blurs_is_matched_by_its_own_blur(images, surface, sigma):
    def model(x):
        again = Images.blurred(images, SIGMAS[sigma])
        return {"restoration": again, "residual": np.abs(x - again)}

    curves = model_curves(images, model, INTENSITIES)
    assert best_matching_blur(curves.healthy_input, surface) == sigma
    assert np.array_equal(curves.healthy_input, curves.anomalous_input["residual"])
    assert np.allclose(curves.healthy_input, surface[:, sigma])


def test_a_model_that_copies_sees_nothing(images):
    lines = []
    curves = model_curves(
        images, lambda x: {"restoration": x, "residual": np.zeros_like(x)}, INTENSITIES, report=lines.append
    )
    prevalence = images.inside.mean((1, 2))
    assert np.allclose(curves.anomalous_input["residual"], prevalence)
    assert np.allclose(curves.texture["residual"]["shuffle"], prevalence)
    assert curves.healthy_error.max() == 0
    assert len(lines) == len(INTENSITIES)


def test_equalised_slices_have_all_intensities_alike(images):
    equalised = images.equalised()
    for values, mask in zip(equalised.healthy, images.mask, strict=True):
        counts = np.histogram(values[mask], 10, (0, 1))[0]
        assert counts.min() > 0.95 * counts.mean()
    assert (equalised.healthy[~images.mask] == 0).all()


def test_texture_is_compared_with_the_same_blurred_image(images):
    found = textures(images, SIGMAS)
    assert set(found) == {"sink", "source", "shuffle"}
    x = images.with_texture("sink")
    assert np.allclose(found["sink"][2], images.average_precision(np.abs(x - images.blurred(SIGMAS[2]))))


@pytest.fixture
def packed(head, tiny_bundle, tmp_path):
    spec = read_config(tiny_bundle).grid
    for split in ("validation", "calibration"):
        Stack.of([to_grid(*head, spec)] * 2, spec).save(tmp_path / f"{split}.npz")
    return tmp_path


def test_the_command_writes_a_table_a_csv_and_a_figure(packed, case_folder, tiny_bundle, tiny_vae, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["evaluate", "pitfalls", "--data", packed, "-o", out, "--bundles", tiny_bundle, tiny_vae]
    words += ["--per-head", "1", "--intensities", "3", "--blurs", "2", "-S", "1", "--labelled", case_folder]
    assert main(list(map(str, words))) == 0
    assert {path.name for path in out.iterdir()} == set(FILES)
    printed = capsys.readouterr().out
    assert "4 slices of 4 healthy heads" in printed
    rows = list(csv.DictReader((out / "pitfalls.csv").open(encoding="utf-8")))
    assert {row["experiment"] for row in rows} == {"1", "2", "C", "3.1", "3.2"}
    assert {row["map"] for row in rows if row["model"].startswith(tiny_bundle.name)} == {"residual", "nll"}
    assert all(0 <= float(row["low"]) <= float(row["mean_ap"]) <= float(row["high"]) <= 1 for row in rows)


def test_wrong_numbers_are_refused_before_the_work(packed, tmp_path, capsys):
    words = ["evaluate", "pitfalls", "--data", packed, "-o", tmp_path / "out"]
    for wrong in (["--blurs", "1"], ["--radius-mm", "-3"], ["--per-head", "0"]):
        assert main(list(map(str, [*words, *wrong]))) == 2
        assert "must be at least 1" in capsys.readouterr().err


def test_a_bundle_that_makes_no_image_is_refused(images, tiny_histogram):
    with pytest.raises(InputError, match="makes no image"):
        model_of(Bundle.load(tiny_histogram), None, images, 1)
