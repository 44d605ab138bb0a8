"""NLL and the sample-wise score against NumPy."""

import numpy as np
import pytest
import torch

from napari_vqad.detectors.vq.likelihood import log_probabilities, nll, on_pixels, sample_score, upsample
from napari_vqad.nets.vq.levels import CodeLevels


class Fixed:
    """A prior that always answers with the same logits."""

    def __init__(self, logits):
        self.values, self.n_codes = logits, logits.shape[1]

    def logits(self, codes, position):
        return self.values


def test_nll_is_minus_log_softmax_at_the_code():
    rng = np.random.default_rng(0)
    logits, codes = rng.normal(size=(2, 5, 3, 4)), rng.integers(5, size=(2, 3, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = -np.log(np.take_along_axis(p, codes[:, None], 1))[:, 0]
    x = torch.tensor(codes)
    got = nll(log_probabilities(Fixed(torch.tensor(logits)), x, torch.zeros(2)), x)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)


def test_nll_stays_finite_where_softmax_is_zero():
    logits = torch.zeros(1, 2, 1, 1)
    logits[0, 0] = 500.0
    x = torch.ones(1, 1, 1, dtype=torch.long)
    assert nll(log_probabilities(Fixed(logits), x, torch.zeros(1)), x).item() == 500.0


def test_sample_score_sums_what_exceeds_lambda():
    values = np.random.default_rng(1).exponential(2, (3, 4, 5)).astype(np.float32)
    expected = [sum(v for v in grid.ravel() if v > 2.5) for grid in values]
    np.testing.assert_allclose(sample_score(torch.tensor(values), 2.5).numpy(), expected, rtol=1e-5)


def test_sample_score_leaves_out_lambda_itself():
    assert sample_score(torch.full((1, 2, 2), 3.0), 3.0).item() == 0.0


def test_upsample_nearest_repeats_codes():
    codes = torch.arange(6.0).view(1, 2, 3)
    expected = np.kron(codes[0].numpy(), np.ones((4, 4)))
    np.testing.assert_array_equal(upsample(codes, (8, 12), smooth=False)[0].numpy(), expected)


def test_upsample_keeps_the_mean_level():
    assert torch.allclose(upsample(torch.full((1, 2, 3), 4.2), (8, 12)), torch.full((1, 8, 12), 4.2))


def test_two_levels_on_pixels_keep_the_sum_of_nats():
    levels = CodeLevels((1, 2), (2, 4))
    nll = levels.join([torch.tensor([[[8.0, 0.0]]]), torch.tensor([[[1.0] * 4, [3.0] * 4]])])
    both = on_pixels(nll, levels, (8, 16))
    # A fine code covers 4×4 pixels.
    assert both.sum().item() / 16 == pytest.approx(8 + 4 + 12, rel=1e-5)
    assert on_pixels(nll, levels, (8, 16), "top").max().item() == pytest.approx(8)
    assert on_pixels(nll, levels, (8, 16), "bottom").max().item() == pytest.approx(3)


def test_of_one_level_there_is_only_all():
    nll = torch.rand(1, 2, 4)
    for level in ("all", "top"):
        assert torch.equal(on_pixels(nll, CodeLevels((2, 4)), (8, 16), level), upsample(nll, (8, 16)))
