"""What is normal where: measured, kept, and scored against."""

import numpy as np
import pytest

from napari_vqad.detectors.pca import PCA, linear_score
from napari_vqad.errors import InputError
from napari_vqad.scores.fusion import LINEAR, centre_on_healthy, fuse, smoothed, standardise, weight
from napari_vqad.scores.normative import NormativeMaps, fit

SHAPE = (24, 32, 40)


def healthy(seed, n=30):
    """Scores that are high and unsteady in front, low and steady behind."""
    rng, front = np.random.default_rng(seed), np.arange(SHAPE[2]) >= 20
    mean, sd = np.where(front, 5.0, 1.0), np.where(front, 2.0, 0.8)
    mask = np.ones(SHAPE, bool)
    mask[:4] = False
    return [(rng.normal(mean, sd, SHAPE), mask) for _ in range(n)]


def test_mean_and_spread_are_those_of_the_place():
    places = NormativeMaps({"score": fit(healthy(0))}, SHAPE)
    mean, sd = places.at("score")
    assert mean[12, 16, 35] == pytest.approx(5.0, abs=0.2)
    assert mean[12, 16, 5] == pytest.approx(1.0, abs=0.1)
    assert sd[12, 16, 35] == pytest.approx(2.0, abs=0.2)
    assert sd[12, 16, 5] == pytest.approx(0.8, abs=0.1)


def test_healthy_z_is_standard_and_the_same_bump_counts_more_where_scans_are_steady():
    places = NormativeMaps({"score": fit(healthy(0))}, SHAPE)
    (score, mask), *_ = healthy(1, 1)
    z = places.zscore("score", score, mask)
    inner = np.zeros(SHAPE, bool)
    inner[8:20, 6:26, 4:14] = inner[8:20, 6:26, 26:36] = True
    assert abs(z[inner].mean()) < 0.1
    assert z[inner].std() == pytest.approx(1.0, abs=0.1)
    assert not z[~mask].any()
    bumped = places.zscore("score", score + 3, mask) - z
    assert bumped[12, 16, 5] > 2 * bumped[12, 16, 35]


def test_both_sides_of_the_head_are_one():
    scores = [(s * (np.arange(SHAPE[1]) < 16)[None, :, None], m) for s, m in healthy(0)]
    mean, _ = NormativeMaps({"": fit(scores)}, SHAPE).at("")
    np.testing.assert_allclose(mean, mean[:, ::-1], rtol=1e-4)


def test_saved_and_loaded(tmp_path):
    places = NormativeMaps({"a": fit(healthy(0, 3))}, SHAPE)
    places.save(tmp_path)
    again = NormativeMaps.load(tmp_path)
    assert again.shape == SHAPE
    assert "a" in again
    np.testing.assert_allclose(again.maps["a"], places.maps["a"], rtol=2e-3)
    (tmp_path / "places.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="does not hold"):
        NormativeMaps.load(tmp_path)


def test_a_bundle_without_places_has_none(tmp_path):
    assert "a" not in NormativeMaps.load(tmp_path)


def test_fusion_is_the_weighted_sum_of_what_is_known():
    rng = np.random.default_rng(0)
    mask = np.ones(SHAPE, bool)
    model = PCA(np.zeros(32 * 40, np.float32), np.zeros((1, 32 * 40), np.float32))
    slices = rng.normal(size=SHAPE).astype(np.float32)
    raw = {LINEAR: linear_score(model, slices, mask), "nll": smoothed(rng.random(SHAPE).astype(np.float32), mask)}
    places = NormativeMaps({name: fit([(m, mask), (1.1 * m, mask)]) for name, m in raw.items()}, SHAPE)
    others = standardise(raw | {"unknown": slices}, places, mask)
    assert set(others) == {LINEAR, "nll"}
    expected = slices + sum(weight(n) * places.zscore(n, m, mask) for n, m in raw.items())
    np.testing.assert_allclose(fuse(slices, others), expected, rtol=1e-4, atol=1e-5)


def test_levelling_takes_off_a_scanner_and_leaves_a_lesion_and_a_quiet_scan():
    rng = np.random.default_rng(0)
    within = rng.random(SHAPE) > 0.3
    score = np.where(within, rng.normal(size=SHAPE), 0).astype(np.float32)
    lesion = np.zeros(SHAPE, bool)
    lesion[10:14, 10:16, 10:16] = True
    noisy = np.where(within, 3 * score + 4 + 60 * lesion, 0).astype(np.float32)
    levelled = centre_on_healthy(noisy, within, (0.0, 1.0))
    rest = within & ~lesion
    assert abs(np.median(levelled[rest])) < 0.05
    assert levelled[rest].std() == pytest.approx(1.0, abs=0.05)
    assert levelled[lesion & within].min() > 10
    assert not levelled[~within].any()
    quiet = centre_on_healthy((0.5 * score - 1).astype(np.float32), within, (0.0, 1.0))
    np.testing.assert_allclose(quiet[within], (0.5 * score - 1)[within], rtol=1e-5)
