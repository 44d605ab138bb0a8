"""The distribution of the pixel score in a scan, in front of that of healthy voxels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.display.scales import score_unit
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.pooled import scored_voxels

BINS = 60
ENDS = (0.1, 99.9)  # percentiles of the scan between which its scores are shown


class ScoreHistogram(NamedTuple):
    """Shares of voxels in bins of equal width; values beyond the ends count in the first or the last bin.

    Attributes:
        edges: limits of the bins, (B + 1,), in the unit of the score.
        scan, healthy: share of the voxels of the scan and of healthy scans, (B,); each sums to 1.
        threshold: that of voxels, in the same unit.
        unit: of the score.
    """

    edges: NDArray
    scan: NDArray
    healthy: NDArray
    threshold: float
    unit: str


def score_histogram(explorer: Explorer) -> ScoreHistogram | None:
    """Compute the histogram of the slices that are scored; None without a pixel score, or before a slice is scored."""
    if explorer.detector.scored is None:
        return None
    calibration, kind = explorer.bundle.calibration, explorer.bundle.pixel_kind(explorer.settings)
    mask = scored_voxels(explorer.grid.mask, explorer.settings)
    inside = mask & (explorer.ready("pixel_score") & explorer.chosen())[:, None, None]
    if kind not in calibration.pixel_score or not inside.any():
        return None
    values, table = explorer.map("pixel_score")[inside], np.array(calibration.pixel_score[kind])
    levels, threshold = np.array(calibration.levels), explorer.thresholds()["flag_voxels"]
    low, high = np.percentile(values, ENDS)
    low = min(low, np.interp(ENDS[0], levels, table))
    high = max(high, np.interp(ENDS[1], levels, table), threshold)
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    scan = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
    # The quantiles give the share of healthy voxels below each edge; equal quantiles are one step.
    below = np.interp(edges, table, levels / 100)
    below[0], below[-1] = 0.0, 1.0
    return ScoreHistogram(edges, scan, np.diff(below), float(threshold), score_unit(explorer))
