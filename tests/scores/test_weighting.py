"""Weights and the consolidated residual against NumPy."""

import numpy as np
import pytest
import torch

from napari_vqad.scores.weighting import consolidate, disagreement, distance, residual, weights


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    return rng.normal(size=(2, 3, 4, 5)).astype(np.float16), rng.random((2, 4, 5)) > 0.4


def test_equals_numpy(maps):
    difference, mask = maps
    r = np.abs(difference.astype(np.float64))
    d = np.array([[(rj * m).sum() / m.sum() for rj in ri] for ri, m in zip(r, mask, strict=True)])
    w = np.exp(2.0 / d) / np.exp(2.0 / d).sum(1, keepdims=True)
    expected = np.einsum("bs,bshw->bhw", w, r)

    got = residual(torch.tensor(difference))
    got_d = distance(got, torch.tensor(mask))
    got_w = weights(got_d, 2.0)
    np.testing.assert_allclose(got_d.numpy(), d, rtol=1e-4)
    np.testing.assert_allclose(got_w.numpy(), w, rtol=1e-3)
    np.testing.assert_allclose(consolidate(got_w, got).numpy(), expected, rtol=1e-3)


def test_sum_and_paper_faithful_distances(maps):
    difference, mask = maps
    r, m = residual(torch.tensor(difference)), torch.tensor(mask)
    np.testing.assert_allclose(distance(r, m, "sum").numpy(), (r * m[:, None]).sum((2, 3)).numpy(), rtol=1e-4)
    np.testing.assert_allclose(distance(r, m, paper_faithful=True).numpy(), r.mean((2, 3)).numpy(), rtol=1e-4)
    np.testing.assert_allclose(distance(r, m, "sum", True).numpy(), r.sum((2, 3)).numpy(), rtol=1e-4)


def test_k_zero_weighs_all_alike():
    assert torch.allclose(weights(torch.tensor([[0.1, 5.0, 0.0]]), 0.0), torch.tensor(1 / 3))


def test_a_perfect_restoration_takes_the_weight_and_paper_faithful_gives_nan():
    d = torch.tensor([[0.0, 0.0, 1.0]])
    assert torch.allclose(weights(d, 3.0), torch.tensor([[0.5, 0.5, 0.0]]))
    assert weights(d, 3.0, paper_faithful=True).isnan().any()


def test_larger_k_favours_the_closest():
    d = torch.tensor([[0.2, 0.3]])
    assert weights(d, 1.0)[0, 0] < weights(d, 3.0)[0, 0]


def test_disagreement_is_the_sd_over_restorations(maps):
    difference, _ = maps
    expected = difference.astype(np.float64).std(1)
    np.testing.assert_allclose(disagreement(torch.tensor(difference)).numpy(), expected, rtol=1e-3, atol=1e-4)
    assert not disagreement(torch.tensor(difference[:, :1])).any()  # a single one disagrees with nobody
