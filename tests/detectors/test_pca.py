"""The linear baseline against NumPy's SVD."""

import numpy as np
from scipy import ndimage

from napari_vqad.detectors.pca import PCA


def slices(n=40):
    rng = np.random.default_rng(0)
    return (
        (rng.normal(size=(n, 3)) @ rng.normal(size=(3, 60)) + rng.normal(size=60)).reshape(n, 6, 10).astype(np.float32)
    )


def test_equals_the_svd():
    data = slices() + 0.01 * np.random.default_rng(1).normal(size=(40, 6, 10)).astype(np.float32)
    flat = data.reshape(40, -1)
    _, _, v = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    expected = (flat - flat.mean(0)) @ v[:3].T @ v[:3] + flat.mean(0)
    np.testing.assert_allclose(PCA.fit(data, 3).reconstruct(data).reshape(40, -1), expected, atol=1e-2)


def test_what_lies_in_the_subspace_is_no_anomaly_and_a_spot_is():
    data = slices()
    pca = PCA.fit(data, 3)
    np.testing.assert_allclose(pca.reconstruct(data), data, atol=1e-3)
    spotted = data[:1].copy()
    spotted[0, 2, 3] += 5
    assert np.abs(spotted - pca.reconstruct(spotted)).argmax() == 2 * 10 + 3


def test_a_strong_lesion_leaves_no_twin():
    """Components that are symmetric would explain half of a one-sided lesion and leave the other half opposite."""
    rng = np.random.default_rng(0)
    half = ndimage.gaussian_filter(rng.normal(size=(300, 16, 12)), (0, 3, 3)) * 6
    healthy = np.concatenate([half, half[:, :, ::-1]], 2).astype(np.float32)
    model = PCA.fit(healthy[:-1], n_components=20)
    lesion = np.zeros((1, 16, 24), np.float32)
    lesion[:, 5:9, 4:8] = 5.0
    slices = healthy[-1:] + lesion
    there, opposite = lesion[0] > 0, lesion[0, :, ::-1] > 0
    plain = np.abs(slices - model.reconstruct(slices, passes=1))[0]
    robust = np.abs(slices - model.reconstruct(slices))[0]
    assert plain[opposite].mean() > 1.0
    assert robust[opposite].mean() < 0.3
    assert robust[there].mean() > 4.5
