import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from napari_vqad.scores.novelty import neighbours
from napari_vqad.scores.novelty.gaussians import bhattacharyya
from napari_vqad.scores.novelty.neighbours import GaussianNeighbours, Neighbours


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("way", ["tree", "products"])
@pytest.mark.parametrize("shift", [0, 1000])
def test_neighbours_are_those_of_all_pairs(way, shift, monkeypatch):
    monkeypatch.setattr(neighbours, "AT_ONCE", 70)
    y, x = normal(300, 7, 0) + shift, normal(40, 7, 1) + shift
    index = Neighbours(y)
    index._tree_wins["", 5] = way == "tree"
    distances, numbers = index.nearest(x, 5)
    pairs = cdist(x.double(), y.double())
    np.testing.assert_allclose(distances, np.sort(pairs)[:, :5], rtol=1e-3 if shift else 1e-5)
    np.testing.assert_allclose(np.take_along_axis(pairs, numbers.numpy(), 1), np.sort(pairs)[:, :5], rtol=1e-3)


def test_the_quicker_way_is_found_once_for_each_kind_of_points(monkeypatch):
    monkeypatch.setattr(neighbours, "FEW", 100)
    monkeypatch.setattr(neighbours, "PROBES", (4, 8))
    index, x = Neighbours(normal(200, 3, 0)), normal(20, 3, 1)
    timed = []
    monkeypatch.setattr(neighbours, "_seconds", lambda way, x, k: timed.append(len(x)) or float(len(timed)))
    first, again = index.nearest(x, 1, "codes"), index.nearest(x, 1, "codes")
    assert timed == [4, 8]
    index.nearest(x, 2, "codes")
    index.nearest(x, 1, "inputs")
    assert timed == [4, 8] * 3
    index.nearest(x[:5], 3)  # too few points to try
    assert timed == [4, 8] * 3
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], Neighbours(normal(200, 3, 0)).nearest(x)[1])


def test_all_candidates_give_the_exact_bhattacharyya_distance():
    y, q = (normal(100, 4, 0), normal(100, 4, 1)), (normal(30, 4, 2), normal(30, 4, 3))
    exact = bhattacharyya((q[0][:, None], q[1][:, None]), y).amin(1)
    index = GaussianNeighbours.of(y)
    torch.testing.assert_close(index.nearest(q, 100), exact)
    few = index.nearest(q, 16)
    assert (few >= exact - 1e-6).all()
    assert (few <= exact + 1e-6).float().mean() > 0.8


def test_an_index_needs_finite_vectors():
    for vectors in (torch.zeros(0, 3), torch.full((2, 3), torch.nan)):
        with pytest.raises(ValueError, match="needs a vector, and finite numbers"):
            Neighbours(vectors)


def test_fewer_vectors_than_neighbours():
    distances, numbers = Neighbours(torch.zeros(2, 3)).nearest(torch.ones(4, 3), 5)
    assert distances.shape == numbers.shape == (4, 2)
