"""Gradient tables: which of a scan's measurements are those that a model knows."""

import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.imaging.measurements import GradientTable, Measurements


def sphere(n: int) -> np.ndarray:
    """n directions spread over the half sphere by the golden angle."""
    i = np.arange(n)
    z = (i + 0.5) / n
    phi = i * np.pi * (3 - np.sqrt(5))
    r = np.sqrt(1 - z**2)
    return np.stack([r * np.cos(phi), r * np.sin(phi), z], 1)


def table(n: int = 30, b: float = 1000.0, zeros: int = 2) -> GradientTable:
    b_values = np.r_[np.zeros(zeros), np.full(n, b)]
    return GradientTable.of(b_values, np.r_[np.zeros((zeros, 3)), sphere(n)])


def turned(given: GradientTable, degrees: float) -> GradientTable:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return GradientTable.of(given.b, given.g @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]]))


def test_measurements_in_another_order_and_with_opposite_directions_are_found():
    known, rng = table(), np.random.default_rng(0)
    order = rng.permutation(len(known))
    flip = rng.choice([-1.0, 1.0], len(known))[:, None]
    scan = GradientTable.of(known.b[order], known.g[order] * flip)
    found = known.order_of(scan)
    assert sorted(found) == list(range(len(known)))
    assert np.allclose(np.abs((scan.g[found] * known.g).sum(1))[~known.zero], 1, atol=1e-6)
    assert scan.zero[found].tolist() == known.zero.tolist()


def test_small_differences_of_b_and_direction_are_no_other_measurements():
    known = table()
    near = turned(GradientTable.of(known.b * 1.03, known.g), 4)
    assert (known.order_of(near) == np.arange(len(known))).sum() >= 30  # measurements at b = 0 are exchangeable


@pytest.mark.parametrize(
    ("scan", "words"),
    [
        (table(29), "it has 31 measurements .2 at b = 0, 29 at b = 1000 s/mm²., and the model 2 at b = 0, 30"),
        (table(b=2000.0), "it has 2 at b = 0, 30 at b = 2000 s/mm², and the model 2 at b = 0, 30 at b = 1000"),
        (table(29, zeros=3), "it has 3 at b = 0, 29 at b = 1000 s/mm², and the model 2 at b = 0, 30"),
    ],
)
def test_another_set_is_refused_with_the_difference(scan, words):
    with pytest.raises(ValueError, match=words):
        table().order_of(scan)


def test_another_direction_is_named():
    known = table(6)
    g = known.g.copy()
    g[3] = np.cross(g[3], [0.0, 0.0, 1.0])
    with pytest.raises(ValueError, match=r"no measurement within 10° of the model's direction \(.*\) at b = 1000"):
        known.order_of(GradientTable.of(known.b, g))


@pytest.mark.parametrize(
    ("b", "g"),
    [
        ([], []),
        ([0.0, 1000.0], [[0, 0, 0]]),
        ([-1.0], [[0, 0, 0]]),
        ([1000.0], [[0, 0, 0]]),
        ([np.nan], [[1, 0, 0]]),
        ([1000.0], [[np.inf, 0, 0]]),
    ],
)
def test_tables_that_are_none_are_refused(b, g):
    with pytest.raises(ValueError, match=r"gradient table|b-values|direction"):
        GradientTable(tuple(b), tuple(tuple(map(float, v)) for v in g))


def test_the_anatomy_is_the_mean_at_b_zero():
    values = np.arange(2 * 2 * 2 * 4, dtype=np.float32).reshape(2, 2, 2, 4)
    gradients = GradientTable.of(np.array([5.0, 1000, 0, 1000]), np.tile([1.0, 0, 0], (4, 1)))
    assert np.array_equal(Measurements(values, gradients).anatomy(), (values[..., 0] + values[..., 2]) / 2)
    weighted = GradientTable.of(np.full(4, 700.0), np.tile([1.0, 0, 0], (4, 1)))
    with pytest.raises(InputError, match="lowest b-value is 700"):
        Measurements(values, weighted).anatomy()


def test_many_shells_are_summed_up():
    b = np.arange(0, 4000, 100.0)
    assert GradientTable.of(b, np.tile([0, 0, 1.0], (len(b), 1))).in_words == "40 at b = 0 to 3900 s/mm²"
