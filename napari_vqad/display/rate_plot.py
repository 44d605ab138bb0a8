"""ROC and precision-recall plots without a toolkit: their lines, markers, and the point nearest to a click."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STEPS = 500  # a line is drawn with points that differ by at least 1 / STEPS of an axis


class RateLine(NamedTuple):
    """A curve of two rates over falling thresholds.

    Attributes:
        name: what is counted, "voxels" or "slices".
        x, y: rates, 0 to 1, (T,).
        thresholds: (T,).
        marker: the point of the present threshold; None if it is not on the curve.
    """

    name: str
    x: NDArray
    y: NDArray
    thresholds: NDArray
    marker: tuple[float, float] | None


class RatePlot(NamedTuple):
    """A plot of rates from 0 to 1.

    Attributes:
        title, x_title, y_title: words at the plot and its axes.
        lines: the first one is drawn boldly, and clicks choose its thresholds.
        chance: ends of the line that random scores would have, (x, y) each.
    """

    title: str
    x_title: str
    y_title: str
    lines: tuple[RateLine, ...]
    chance: tuple[tuple[float, float], tuple[float, float]]


def thinned(x: NDArray, y: NDArray, steps: int = STEPS) -> NDArray[np.intp]:
    """Return indices of points that look the same when drawn: one for each cell of 1 / `steps`, and the last one."""
    if not len(x):
        return np.zeros(0, np.intp)
    cells = np.rint(steps * np.stack([x, y])).astype(int)
    new = np.append(True, (np.diff(cells, axis=1) != 0).any(0))
    new[-1] = True
    return np.flatnonzero(new)


def nearest(line: RateLine, x: float, y: float) -> int:
    """Return the index of the point of a line that is nearest to a place in the plot."""
    return int(((line.x - x) ** 2 + (line.y - y) ** 2).argmin())
