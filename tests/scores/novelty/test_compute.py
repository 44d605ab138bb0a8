"""The whole computation: batches, reference, progress, cancel, and input that does not fit."""

import numpy as np
import pytest
import torch

from napari_vqad.nets.voxel_vae import VoxelVAESizes, make_vector_vae
from napari_vqad.scores.novelty import batch, compute
from napari_vqad.scores.novelty.batch import Options, Reference
from napari_vqad.scores.novelty.compute import novelty
from napari_vqad.scores.novelty.table import SCORES


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    network = make_vector_vae(VoxelVAESizes(measurements=6, hidden=(8,), latent=3))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def x():
    return torch.randn(9, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def reference(vae):
    return Reference(vae, torch.randn(50, 6, generator=torch.Generator().manual_seed(2)))


def test_a_score_does_not_depend_on_the_vectors_beside_it(vae, x, reference, monkeypatch):
    together = novelty(SCORES, x, vae, reference)
    monkeypatch.setattr(compute, "AT_ONCE", 4)
    in_batches = novelty(SCORES, x, vae, reference)
    for name in SCORES:
        alone = novelty([name], x[3:4], vae, reference)[name]
        np.testing.assert_allclose(together[name][3:4], alone, rtol=1e-5, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(together[name], in_batches[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_options_that_a_score_names_change_it_and_no_others(vae, reference):
    x = 3 * torch.randn(9, 6, generator=torch.Generator().manual_seed(4))
    plain = Options(samples=3, seed=0, bound=10, steps=30, candidates=50, components=50)
    other = {"samples": 4, "seed": 1, "bound": 0.01, "steps": 1, "candidates": 1, "components": 3}
    before = novelty(SCORES, x, vae, reference, plain)
    for option, value in other.items():
        after = novelty(SCORES, x, vae, reference, Options(**{**vars(plain), option: value}))
        changed = {name for name in SCORES if not np.array_equal(before[name], after[name])}
        named = {name for name, score in SCORES.items() if option in score.options}
        # Few candidates may well have the nearest among them.
        assert changed <= named if option == "candidates" else changed == named, option


def test_normal_vectors_are_less_novel_than_others(vae, reference):
    """Of a VAE without training, by the distance from normal vectors alone."""
    near, far = reference.vectors[:20] + 0.01, reference.vectors[:20] + 5
    for name in ("input_distance", "latent_distance", "latent_bhattacharyya", "output_distance"):
        assert novelty([name], near, vae, reference)[name].max() < novelty([name], far, vae, reference)[name].min()


def test_a_normal_vector_is_at_no_distance_from_itself(vae, reference):
    names = ["input_distance", "latent_distance", "latent_bhattacharyya", "output_distance", "output_bhattacharyya"]
    for name, values in novelty(names, reference.vectors[:5], vae, reference).items():
        np.testing.assert_allclose(values, 0, atol=1e-6, err_msg=name)


def test_a_vector_that_is_not_finite_has_no_score(vae, x, reference):
    broken = x.clone()
    broken[2, 1], broken[4] = torch.nan, torch.inf
    found = novelty(SCORES, broken, vae, reference)
    for name, values in found.items():
        assert np.flatnonzero(np.isnan(values)).tolist() == [2, 4], name


def test_constant_and_huge_vectors_have_finite_scores(vae, reference):
    x = torch.stack([torch.zeros(6), torch.full((6,), 1e4), torch.full((6,), -1e4)])
    for name, values in novelty(SCORES, x, vae, reference).items():
        assert np.isfinite(values).all(), name


def test_a_search_takes_gradients_in_inference_mode(vae, x):
    expected = novelty(["closest_distance"], x, vae)["closest_distance"]
    with torch.inference_mode():
        found = novelty(["closest_distance"], x + 0, vae)["closest_distance"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_no_vectors_have_no_scores(vae, reference):
    assert all(values.shape == (0,) for values in novelty(SCORES, torch.zeros(0, 6), vae, reference).values())


def test_a_reference_of_one_vector_suffices(vae, x):
    found = novelty(SCORES, x, vae, Reference(vae, torch.ones(1, 6)))
    assert all(np.isfinite(values).all() for values in found.values())


def test_progress_is_told_and_the_work_can_be_stopped(vae, x, reference, monkeypatch):
    monkeypatch.setattr(compute, "AT_ONCE", 4)
    told = []
    novelty(["elbo"], x, vae, report=lambda *done: told.append(done))
    assert told == [(4, 9), (8, 9), (9, 9)]

    class StoppedError(Exception):
        pass

    calls = []

    def stop_at_third():
        calls.append(None)
        if len(calls) == 3:
            raise StoppedError

    with pytest.raises(StoppedError):  # within the search, not after it
        novelty(["closest_distance"], x[:2], vae, check=stop_at_third)
    calls.clear()
    monkeypatch.setattr(batch, "AT_ONCE", 10)
    with pytest.raises(StoppedError):
        _ = Reference(vae, reference.vectors, stop_at_third).codes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda vae, x: novelty(["no_score"], x, vae), "no novelty score 'no_score'"),
        (lambda vae, x: novelty(["elbo", "latent_distance"], x, vae), "'latent_distance' compares with normal vectors"),
        (lambda vae, x: novelty(["elbo"], x[:, :5], vae), r"vectors of 6 numbers, not an array of shape \(9, 5\)"),
        (lambda vae, x: novelty(["elbo"], x[0], vae), "vectors of 6 numbers"),
        (lambda vae, x: Reference(vae, x[:0]), "needs a vector"),
        (lambda vae, x: Reference(vae, x * torch.nan), "finite"),
        (lambda vae, x: novelty(["encoder_error"], x, vae, options=Options(samples=0)), "1 or more"),
    ],
)
def test_input_that_does_not_fit_is_refused(vae, x, call, message):
    with pytest.raises(ValueError, match=message):
        call(vae, x)


def test_the_table_names_each_equation_once():
    assert all(name == score.name for name, score in SCORES.items())
    assert len({score.symbol for score in SCORES.values()}) == len({s.title for s in SCORES.values()}) == len(SCORES)
    numbers = {score.equation for score in SCORES.values()}
    assert {f"({n})" for n in range(2, 22)} <= numbers
    assert {f"({n}) min" for n in range(8, 12)} | {"(18) bounded", "(19) bounded"} <= numbers
