import numpy as np
import pytest
from sklearn.decomposition import PCA, KernelPCA
from sklearn.metrics.pairwise import rbf_kernel

from napari_vqad.scores import kernel_pca
from napari_vqad.scores.kernel_pca import KernelSubspace, LinearSubspace

RNG = np.random.default_rng(0)
NORMAL, X = RNG.normal(size=(60, 5)) * [3, 2, 1, 0.3, 0.1], RNG.normal(size=(25, 5))


def test_linear_errors_are_those_of_scikit_learn():
    found = LinearSubspace.fit(NORMAL, 0.9)
    pca = PCA(0.9, svd_solver="full").fit(NORMAL)
    assert len(found.axes) == pca.n_components_ < 5
    expected = np.linalg.norm(X - pca.inverse_transform(pca.transform(X)), axis=1)
    np.testing.assert_allclose(found.error(X), expected, rtol=1e-9)


def test_kernel_errors_are_those_of_scikit_learns_components(monkeypatch):
    monkeypatch.setattr(kernel_pca, "AT_ONCE", 10)
    found = KernelSubspace.fit(NORMAL, 0.8)
    gamma = 1 / (2 * found.width**2)
    other = KernelPCA(found.alphas.shape[1], kernel="rbf", gamma=gamma).fit(NORMAL)
    kernel = rbf_kernel(NORMAL, NORMAL, gamma)
    length = 1 - 2 * rbf_kernel(X, NORMAL, gamma).mean(1) + kernel.mean()
    np.testing.assert_allclose(found.error(X), length - (other.transform(X) ** 2).sum(1), atol=1e-8)
    centred = kernel - kernel.mean(0) - kernel.mean(1)[:, None] + kernel.mean()
    shares = other.eigenvalues_.cumsum() / np.trace(centred)
    assert shares[-1] >= 0.8 > shares[-2]


def test_all_components_leave_no_error_of_the_normal_vectors():
    found = KernelSubspace.fit(NORMAL, 1 - 1e-9)
    assert found.error(NORMAL).max() < 1e-6
    assert found.error(X + 100).min() > 0.5  # far away nothing is explained


@pytest.mark.parametrize("vectors", [np.ones((5, 3)), np.ones((1, 3)), np.ones((0, 3))])
def test_equal_vectors_have_no_width(vectors):
    with pytest.raises(ValueError, match="two different vectors"):
        KernelSubspace.fit(vectors, 0.9)
