"""Each score against its definition: a loop over vectors, samples and normal vectors, or a closed form.

The VAE is linear with normal noise, x = W z + b + N(0, s² I), and its encoder is the exact posterior. So the ELBO is
ln p(x), and the closest generated vector is the projection onto the columns of W.
"""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm

from napari_vqad.scores.novelty.batch import Options, Reference
from napari_vqad.scores.novelty.compute import novelty
from napari_vqad.scores.novelty.table import SCORES

D, C, SD = 2, 5, 0.6
OPTIONS = Options(samples=5, seed=3, bound=0.4, candidates=1000)


class LinearVAE:
    latent, measurements = D, C

    def __init__(self):
        q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(C, D)))
        self.w = torch.from_numpy(q * [1.5, 0.7])  # orthogonal columns: the posterior has a diagonal covariance
        self.b = torch.arange(C, dtype=torch.float64) / 4
        self.variance = 1 / (1 + (self.w**2).sum(0) / SD**2)

    def encode(self, x):
        mean = (x - self.b) @ self.w / SD**2 * self.variance
        return mean, self.variance.log().expand_as(mean)

    def decode(self, z):
        mean = z @ self.w.T + self.b
        return mean, torch.full_like(mean, 2 * math.log(SD))


class CurvedVAE(LinearVAE):
    """Variances that differ between vectors, for scores that compare distributions."""

    def encode(self, x):
        mean, log_variance = super().encode(x)
        return mean, log_variance + 0.5 * torch.sin(mean)

    def decode(self, z):
        mean, log_variance = super().decode(z)
        return mean, log_variance + 0.5 * torch.cos(mean)


def vectors(n, seed):
    return torch.from_numpy(np.random.default_rng(seed).normal(0.5, 1.5, (n, C)))


X, Y = vectors(4, 1), vectors(12, 2)


def bhattacharyya(p, q):
    """−ln of the product over dimensions of ∫ √(p q), by numerical integration."""
    z, step = np.linspace(-25, 25, 4001, retstep=True)
    found = 0.0
    for m1, v1, m2, v2 in zip(*p, *q, strict=True):
        overlap = np.sqrt(norm.pdf(z, m1, np.exp(v1 / 2)) * norm.pdf(z, m2, np.exp(v2 / 2))).sum() * step
        found -= np.log(overlap)
    return found


def density(x, p):
    return math.prod(norm.pdf(x, p[0], np.exp(p[1] / 2)))


def definitions(x, vae, noise_z, noise_x):
    """Each score of one vector by its equation; (5), (14), (16) as −ln of the density, as documented."""
    one = torch.from_numpy(x)[None]
    rows = lambda pair: [part.numpy()[0] for part in pair]  # noqa: E731
    q = rows(vae.encode(one))
    decode = lambda z: rows(vae.decode(torch.from_numpy(z)[None]))  # noqa: E731
    p, sd = decode(q[0]), np.exp(q[1] / 2)
    ys = Y.numpy()
    qs = [rows(vae.encode(y[None])) for y in Y]
    ps = [decode(code[0]) for code in qs]
    far = np.linalg.norm
    drawn = [decode(q[0] + sd * e) for e in noise_z]
    errors = [far(x - d[0]) for d in drawn]
    surprises = [-math.log(density(x, d)) for d in drawn]
    decoder = [far(x - (p[0] + np.exp(p[1] / 2) * e)) for e in noise_x]
    both = [far(x - (d[0] + np.exp(d[1] / 2) * e)) for d, e in zip(drawn, noise_x, strict=True)]
    kl = 0.5 * sum(m**2 + math.exp(v) - 1 - v for m, v in zip(*q, strict=True))
    return {
        "input_distance": min(far(x - y) for y in ys),
        "vae_regulariser": kl,
        "latent_distance": min(far(q[0] - c[0]) for c in qs),
        "latent_bhattacharyya": min(bhattacharyya(q, c) for c in qs),
        "latent_density": -math.log(np.mean([density(q[0], c) for c in qs])),
        "reconstruction_error": far(x - p[0]),
        "reconstruction_likelihood": -math.log(density(x, p)),
        "encoder_error": np.mean(errors),
        "encoder_likelihood": np.mean(surprises),
        "decoder_error": np.mean(decoder),
        "sampled_error": np.mean(both),
        "encoder_error_min": min(errors),
        "encoder_likelihood_min": min(surprises),
        "decoder_error_min": min(decoder),
        "sampled_error_min": min(both),
        "output_distance": min(far(p[0] - o[0]) for o in ps),
        "output_bhattacharyya": min(bhattacharyya(p, o) for o in ps),
        "output_density": -math.log(np.mean([density(p[0], o) for o in ps])),
        "input_output_distance": min(far(x - o[0]) for o in ps),
        "input_density": -math.log(np.mean([density(x, o) for o in ps])),
        "output_input_distance": min(far(p[0] - y) for y in ys),
        "elbo": surprises[0] + kl,
        "elbo_sampled": np.mean(surprises) + kl,
    }


@pytest.mark.parametrize("vae", [LinearVAE(), CurvedVAE()], ids=["linear", "curved"])
def test_scores_equal_their_definitions(vae):
    generators = [torch.Generator().manual_seed(2 * OPTIONS.seed + stream) for stream in (0, 1)]
    noise = [
        np.stack([torch.randn(n, generator=g).numpy() for _ in range(OPTIONS.samples)]).astype(float)
        for n, g in zip((D, C), generators, strict=True)
    ]
    expected = [definitions(x, vae, *noise) for x in X.numpy()]
    found = novelty(expected[0], X, vae, Reference(vae, Y), OPTIONS)
    assert set(SCORES) - set(found) == {n for n, s in SCORES.items() if "search" in s.needs}
    for name, values in found.items():
        np.testing.assert_allclose(values, [row[name] for row in expected], rtol=2e-4, atol=1e-5, err_msg=name)


def test_the_closest_generated_vector_is_the_projection():
    vae = LinearVAE()
    found = novelty([n for n, s in SCORES.items() if "search" in s.needs], X, vae, None, OPTIONS)
    w, x = vae.w.numpy(), (X - vae.b).numpy()
    free = x @ w / (w**2).sum(0)
    constant = C * math.log(SD * math.sqrt(2 * math.pi))
    assert (np.abs(free) > OPTIONS.bound).any()  # some searches end at the bound
    for z, end in ((free, ""), (free.clip(-OPTIONS.bound, OPTIONS.bound), "_bounded")):
        apart = np.linalg.norm(x - z @ w.T, axis=1)
        np.testing.assert_allclose(found[f"closest_distance{end}"], apart, rtol=1e-5)
        np.testing.assert_allclose(found[f"highest_likelihood{end}"], apart**2 / (2 * SD**2) + constant, rtol=1e-5)


def test_the_elbo_of_the_exact_posterior_is_the_evidence():
    vae = LinearVAE()
    covariance = (vae.w @ vae.w.T).numpy() + SD**2 * np.eye(C)
    evidence = multivariate_normal(vae.b.numpy(), covariance).logpdf(X.numpy())
    found = novelty(["elbo_sampled"], X, vae, None, Options(samples=20_000))["elbo_sampled"]
    np.testing.assert_allclose(found, -evidence, atol=0.05)


def test_a_search_is_never_worse_than_its_start():
    vae = CurvedVAE()
    names = ["closest_distance", "reconstruction_error", "highest_likelihood", "reconstruction_likelihood"]
    found = novelty(names, vectors(200, 5), vae)
    assert (found["closest_distance"] <= found["reconstruction_error"] + 1e-6).all()
    assert (found["highest_likelihood"] <= found["reconstruction_likelihood"] + 1e-6).all()
