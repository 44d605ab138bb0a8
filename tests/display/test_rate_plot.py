"""Points that are drawn, and the point under a click."""

import numpy as np

from napari_vqad.display.rate_plot import RateLine, nearest, thinned


def test_thinned_points_look_the_same():
    x = np.linspace(0, 1, 20_000)
    y = np.sqrt(x)
    points = thinned(x, y, 100)
    assert len(points) < 250
    assert (points[0], points[-1]) == (0, len(x) - 1)
    assert np.abs(np.interp(x, x[points], y[points]) - y).max() < 0.02
    assert len(thinned(np.zeros(0), np.zeros(0))) == 0
    assert thinned(np.zeros(5), np.zeros(5)).tolist() == [0, 4]


def test_nearest_point():
    line = RateLine("voxels", np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.8, 1.0]), np.array([3.0, 2.0, 1.0]), None)
    assert nearest(line, 0.6, 0.7) == 1
    assert nearest(line, -1, 0) == 0
