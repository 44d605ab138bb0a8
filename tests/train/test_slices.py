"""Healthy slice scores: a file of their own beside the calibration, of this model alone."""

import json
import shutil

import numpy as np
import pytest

from napari_vqad.detectors.bundle import SLICES, Bundle, fingerprint
from napari_vqad.detectors.calibration import LEVELS, SliceTables
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.scores.fusion import centre_on_healthy


@pytest.fixture
def with_slices(tiny_bundle, tmp_path):
    """The tiny bundle with healthy slice scores of one kind, 0 to 1."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_bundle, folder)
    tables = SliceTables(
        weights=Bundle.load(folder, "cpu").weights,
        slice_nll=None,
        slices={"regenerative smooth plain": np.linspace(0, 1, len(LEVELS)).tolist()},
    )
    (folder / SLICES).write_text(tables.model_dump_json(), encoding="utf-8")
    return folder


def analysed(folder, head, **settings):
    explorer = Explorer(Bundle.load(folder, "cpu"), Settings(n_restorations=1, **settings))
    explorer.load_scan(*head)
    for _ in explorer.work():
        pass
    return explorer


def test_slices_are_flagged_by_their_pixels(with_slices, head):
    explorer = analysed(with_slices, head, method="regenerative")
    score, mask = explorer.map("pixel_score"), explorer.grid.mask
    middle = explorer.bundle.calibration.median_and_p84("regenerative smooth plain")
    levelled, expected = centre_on_healthy(score, mask, middle), []
    for i, inside in enumerate(mask):
        values = levelled[i][inside]
        if not len(values):
            expected.append(np.nan)
            continue
        median, high = np.percentile(values, [50, 84])
        stretch = max(1, (high - median) / (middle[1] - middle[0]))
        values = np.sort((values - max(0, median - middle[0])) / stretch)
        expected.append(values[-25:].mean())  # 4 cm² of 4 mm
    np.testing.assert_allclose(explorer.slice_scores(), expected, rtol=1e-5)
    limit = float(np.interp(95, LEVELS, np.linspace(0, 1, len(LEVELS))))
    assert explorer.thresholds()["flag_slices"] == pytest.approx(limit)
    np.testing.assert_array_equal(explorer.flagged_slices(), np.nan_to_num(expected, nan=-1) > limit)


def test_a_slice_has_no_score_before_its_neighbours_are_there(with_slices, head):
    explorer = Explorer(Bundle.load(with_slices, "cpu"), Settings(method="regenerative"))
    explorer.load_scan(*head)
    work = explorer.work()
    while not explorer.ready("restoration").any():
        next(work)
    assert not np.isfinite(explorer.slice_scores()).all()
    assert not explorer.flagged_slices()[~explorer.ready("pixel_score")].any()


def test_as_sample_can_be_chosen_and_stands_in_where_nothing_healthy_is_known(with_slices, head):
    explorer = analysed(with_slices, head, method="regenerative", slice_score="sample")
    np.testing.assert_array_equal(explorer.slice_scores(), explorer.sample_scores())
    other = analysed(with_slices, head, method="light")
    np.testing.assert_array_equal(other.slice_scores(), other.sample_scores())
    chosen = explorer.settings.model_copy(update={"slice_score": "pixel"})
    explorer.change(chosen)
    assert not np.array_equal(explorer.slice_scores(), explorer.sample_scores(), equal_nan=True)
    assert explorer.volume_score() == pytest.approx(np.nansum(explorer.sample_scores()))


def test_they_are_no_part_of_the_hash_that_maps_go_by(tiny_bundle, with_slices):
    assert fingerprint(with_slices) == fingerprint(tiny_bundle)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"weights": "0" * 64}, "is of another model"),
        ({"slices": {"masked smooth plain": [0.0] * len(LEVELS)}}, "is of another model"),
        ({"slices": {"regenerative smooth plain": [0.0, 1.0]}}, "does not fit"),
        ({"slices": {"regenerative smooth plain": [1.0] + [0.0] * (len(LEVELS) - 1)}}, "does not fit"),
        ({"slice_nll": [0.0, float("nan")]}, r"slices\.json"),
    ],
)
def test_those_of_another_model_or_damaged_ones_are_refused(with_slices, change, said):
    path = with_slices / SLICES
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        Bundle.load(with_slices, "cpu")
