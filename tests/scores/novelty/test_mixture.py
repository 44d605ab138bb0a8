import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import norm

from napari_vqad.scores.novelty import mixture
from napari_vqad.scores.novelty.mixture import log_mixture, thinned


def normal(n, d, seed, dtype=torch.float32):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def by_scipy(x, means, log_variances):
    each = norm.logpdf(x.double()[:, None], means.double(), (log_variances.double() / 2).exp()).sum(2)
    return logsumexp(each, 1) - np.log(len(means))


@pytest.mark.parametrize("shift", [0, 100])
def test_the_density_is_the_mean_of_the_components(shift, monkeypatch):
    monkeypatch.setattr(mixture, "AT_ONCE", 30)
    means, log_variances, x = normal(100, 6, 0) + shift, normal(100, 6, 1), 2 * normal(20, 6, 2) + shift
    np.testing.assert_allclose(log_mixture(x, (means, log_variances)), by_scipy(x, means, log_variances), atol=2e-3)


def test_far_from_all_components_the_logarithm_is_finite():
    means, log_variances, x = normal(10, 6, 0), torch.full((10, 6), -6.0), torch.full((1, 6), 50.0)
    found = log_mixture(x, (means, log_variances))
    np.testing.assert_allclose(found, by_scipy(x, means, log_variances), rtol=1e-4)
    assert found < -1e6


def test_a_mixture_needs_a_component():
    with pytest.raises(ValueError, match="needs a component"):
        log_mixture(torch.zeros(1, 2), (torch.zeros(0, 2), torch.zeros(0, 2)))


@pytest.mark.parametrize(("n", "most", "left"), [(10, 10, 10), (10, 4, 4), (11, 5, 4), (1, 5, 1)])
def test_thinned_components_are_spread_over_all(n, most, left):
    means = torch.arange(n)[:, None]
    few = thinned((means, means), most)[0]
    assert len(few) == left <= most
    assert torch.equal(few, means[:: -(-n // most)])
