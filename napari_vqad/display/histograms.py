"""Distributions of a scan's values in front of healthy ones, with the thresholds that the values are compared with.

There is one for each table of the detector's own thresholds (such as the NLL of codes, with λ_s and λ_p), one of the
slice score and one of the pixel score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.settings import Settings
from napari_vqad.display import slice_scores
from napari_vqad.display.scales import score_unit
from napari_vqad.display.thresholds import rate_of_findings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.pooled import scored_voxels

BINS = 60
ENDS = (0.1, 99.9)  # percentiles of the scan and of the healthy between which values are shown


class Line(NamedTuple):
    """A threshold.

    Attributes:
        setting: its name in `Settings`; a change of it moves the line.
        title: such as "λ_p".
        value: in the unit of the histogram.
        words: how many healthy values and how many of this scan lie above it.
        active: False if the threshold changes nothing just now.
    """

    setting: str
    title: str
    value: float
    words: str
    active: bool


class Histogram(NamedTuple):
    """Shares of values in bins of equal width; values beyond the ends count in the first or the last bin.

    Attributes:
        title: what the values are, such as "NLL of codes".
        edges: limits of the bins, (B + 1,), in the unit.
        scan, healthy: share of the scan's values and of those of healthy scans, (B,); each sums to 1.
        lines: the thresholds.
        unit: of the values.
    """

    title: str
    edges: NDArray
    scan: NDArray
    healthy: NDArray
    lines: tuple[Line, ...]
    unit: str


def histograms(explorer: Explorer) -> list[Histogram]:
    """Make all histograms of the slices that are analysed; one that has no values yet is left out."""
    found = [_of_table(explorer, table) for table in dict.fromkeys(t.table for t in explorer.detector.thresholds)]
    found += [_of_slices(explorer), score_histogram(explorer)]
    return [histogram for histogram in found if histogram is not None]


def score_histogram(explorer: Explorer) -> Histogram | None:
    """Make the histogram of the pixel score; None without a pixel score, or before a slice is scored."""
    if explorer.detector.scored is None:
        return None
    calibration, kind = explorer.bundle.calibration, explorer.bundle.pixel_kind(explorer.settings)
    mask = scored_voxels(explorer.grid.mask, explorer.settings)
    inside = mask & (explorer.ready("pixel_score") & explorer.chosen())[:, None, None]
    if kind not in calibration.pixel_score or not inside.any():
        return None
    values, limit = explorer.map("pixel_score")[inside], explorer.thresholds()["flag_voxels"]
    share = 100 - calibration.percentile("pixel_score", limit, kind=kind)
    what = "pixels" if explorer.grid.kind == "clip" else "voxels"
    line = _line(explorer, "flag_voxels", limit, values, share, what)
    line = line._replace(words=f"{line.words} {rate_of_findings(explorer, limit)}.")
    return _histogram(explorer, "Pixel score", values, calibration.pixel_score[kind], [line], score_unit(explorer))


def _of_table(explorer: Explorer, table: str) -> Histogram | None:
    """Make the histogram of the values that the detector's own thresholds are compared with."""
    detector, calibration, limits = explorer.detector, explorer.bundle.calibration, explorer.thresholds()
    stage = detector.stages[0].name
    ready = explorer.ready(next(spec.name for spec in detector.maps if spec.stage == stage)) & explorer.chosen()
    if not ready.any():
        return None
    results = {name: array[ready] for name, array in explorer.stacked(stage).items()}
    values = detector.compared(table, results, explorer.grid.mask[ready])
    specs = [spec for spec in detector.thresholds if spec.table == table]
    lines = [
        _line(explorer, s.setting, v, values, 100 - calibration.percentile(table, v), s.of)
        for s in specs
        for v in [limits[s.setting]]
    ]
    title = f"{table.upper()} of {specs[0].of}"
    return _histogram(explorer, title, values, calibration.own[table][""], lines, specs[0].unit)


def _of_slices(explorer: Explorer) -> Histogram | None:
    """Make the histogram of the slice score; None before a slice is scored, or without a healthy table of it."""
    bundle, limit = explorer.bundle, explorer.thresholds()["flag_slices"]
    scores = explorer.slice_scores()
    values = scores[np.isfinite(scores) & explorer.chosen()]
    resolved = bundle.resolve_own(explorer.settings)
    if not len(values) or np.isnan(bundle.slice_percentile(resolved, limit)):
        return None
    levels = bundle.calibration.levels
    table = [bundle.slice_value(resolved.model_copy(update={"flag_slices": f"p{level:g}"})) for level in levels]
    share = 100 - bundle.slice_percentile(resolved, limit)
    line = _line(explorer, "flag_slices", limit, values, share, "slices")
    return _histogram(explorer, "Slice score", values, table, [line], slice_scores.unit(explorer))


def _line(explorer: Explorer, name: str, limit: float, values: NDArray, healthy: float, what: str) -> Line:
    title = str(Settings.model_fields[name].title).partition(" (")[0]
    active = name not in explorer.detector.inactive(explorer.settings)
    here, expected = int((values > limit).sum()), healthy / 100 * len(values)
    about = f"{expected:.0f}" if expected >= 0.5 or not healthy else "fewer than 1"
    words = (
        f"{_percent(healthy)} of healthy {what} are above ({about} expected), "
        f"here {_percent(100 * here / len(values))} ({here})."
    )
    return Line(name, title, float(limit), words, active)


def _percent(share: float) -> str:
    """Write a percentage so that a small one is not zero."""
    return f"{share:.1f} %" if share >= 1 or share == 0 else f"{share:.2g} %"


def _histogram(
    explorer: Explorer, title: str, values: NDArray, table: Sequence[float], lines: Sequence[Line], unit: str
) -> Histogram:
    """Bin the scan's values; the healthy shares are differences of the quantiles in the table."""
    levels, quantiles = np.array(explorer.bundle.calibration.levels), np.array(table)
    low, high = np.percentile(values, ENDS)
    low = min(low, np.interp(ENDS[0], levels, quantiles), *(line.value for line in lines))
    high = max(high, np.interp(ENDS[1], levels, quantiles), *(line.value for line in lines))
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    scan = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
    # The quantiles give the share of healthy values below each edge; equal quantiles are one step.
    below = np.interp(edges, quantiles, levels / 100)
    below[0], below[-1] = 0.0, 1.0
    return Histogram(title, edges, scan, np.diff(below), tuple(lines), unit)
