"""Evaluate a method at all points of a grid of settings (λ_s, λ_p, S, k) on labelled cases, and choose the best point.

To sweep λ_LP of Ishii 2023, sweep λ_p with the method `light`. Percentiles refer to the healthy values of the
calibration or, as in the papers, to all codes of the cases, normal and abnormal ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings, settings_from
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate import tuning
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.experiment import collect
from napari_vqad.evaluate.metrics import AtThreshold, Ranking, at_best, rank
from napari_vqad.evaluate.result_cache import ResultCache
from napari_vqad.evaluate.settings_grid import GridPoint, grid_points
from napari_vqad.evaluate.variants import SAMPLE, Over, Variant
from napari_vqad.files.atomic import atomic_write, write_text
from napari_vqad.settings import flag

Measure = Literal["balanced", "slice-auroc", "slice-ap", "voxel-auroc", "voxel-ap", "dice"]
MEASURES: dict[Measure, tuple[str, Callable[[Point], float]]] = {
    "balanced": ("best balanced accuracy", lambda p: p.best.balanced),
    "slice-auroc": ("slice AUROC", lambda p: p.slices.auroc),
    "slice-ap": ("slice AP", lambda p: p.slices.ap),
    "voxel-auroc": ("voxel AUROC", lambda p: p.voxels.auroc),
    "voxel-ap": ("voxel AP", lambda p: p.voxels.ap),
    "dice": ("best Dice", lambda p: p.voxels.dice),
}


@dataclass(frozen=True)
class Point(GridPoint):
    """A point of the grid with its measures.

    Attributes:
        slices, voxels: ranking over all cases.
        best: slices at the threshold with the best balanced accuracy.
    """

    slices: Ranking
    voxels: Ranking
    best: AtThreshold


def sweep(
    bundle: Bundle,
    cases: Sequence[Case],
    settings: Settings,
    method: str,
    grid: Mapping[str, Sequence[Any]],
    of_all: bool = False,
    over: Over = "max",
    keep: Path | None = None,
    report: Callable[[str], None] = print,
) -> list[Point]:
    """Score the cases at all points of the grid.

    Args:
        bundle: the model.
        cases: labelled cases.
        settings: values of the settings that are not in the grid.
        method: "sample-wise", or a restoration method.
        grid: setting → values; percentiles are written as "p60".
        of_all: percentiles refer to all codes of the cases if True, to healthy codes of the calibration if False.
        over, keep, report: see `comparison.compare_models`.

    Raises:
        InputError: a value is not allowed, or a setting has no effect with this method.
    """
    sample = method == SAMPLE
    asks = {} if sample else dict(bundle.detector.asks_for(method))
    base = settings.model_copy(update=asks)
    _check(bundle, base, grid, sample)
    percentiles = _of_all_codes(bundle, base, cases, grid) if of_all else {}
    ways, given = [], grid_points(bundle, base, grid, asks, percentiles)
    for point in given:
        words = " ".join(f"{name} {value}" for name, value in point.updates.items())
        name = f"{method} {words}".replace("/", "-")
        ways.append(Variant(name, "sample" if sample else "pixel", dict(point.updates), over=over))
    cache = ResultCache.of(keep, bundle, base, over)
    found = collect(bundle, cases, base, ways, None, report, cache=cache)
    points = []
    for point, way in zip(given, ways, strict=True):
        slices, voxels = found.of("slices", way.name), found.of("voxels", way.name)
        points.append(Point(point.given, point.updates, rank(*slices), rank(*voxels), at_best(*slices)))
    return points


def _of_all_codes(
    bundle: Bundle, settings: Settings, cases: Sequence[Case], grid: Mapping[str, Sequence[Any]]
) -> dict[tuple[str, str], float]:
    """Compute the percentiles in a grid of the values of all codes of the cases, for `grid_points`."""
    tables = {spec.setting: spec.table for spec in bundle.detector.thresholds if spec.setting in grid}
    values = tuning.values_of(Explorer(bundle, settings), cases, set(tables.values())) if tables else {}
    found = {}
    for name, table in tables.items():
        for value in grid[name]:
            limit = str(getattr(settings_from({name: value}), name))
            if limit.startswith("p"):
                found[name, limit] = float(np.percentile(values[table], float(limit[1:])))
    return found


def _check(bundle: Bundle, settings: Settings, grid: Mapping[str, Sequence[Any]], sample: bool) -> None:
    detector = bundle.detector
    restores = {name for stage in detector.stages for name in (*stage.settings, stage.samples)}
    restores |= {name for spec in detector.maps for name in spec.settings}
    idle = detector.inactive(settings)
    for name in grid:
        known = name in detector.Settings.model_fields and name not in idle
        if not known or sample == (name in restores):
            raise InputError(f"{flag(name)} changes nothing of {SAMPLE if sample else settings.method} scores.")


def best_of(points: Sequence[Point], by: Measure) -> Point:
    """Return the best point by a measure; the first if several are equal."""
    return max(points, key=lambda p: np.nan_to_num(MEASURES[by][1](p), nan=-1.0))


def table(points: Sequence[Point], by: Measure) -> str:
    """Make a Markdown table of all measures at all points, with the best point by one measure in bold."""
    chosen = best_of(points, by)
    lines = [
        f"| settings | {' | '.join(title for title, _ in MEASURES.values())} |",
        "|---" * (len(MEASURES) + 1) + "|",
    ]
    for point in points:
        cells = [point.name, *(f"{of(point):.3f}" for _, of in MEASURES.values())]
        lines.append(f"| {' | '.join(f'**{c}**' if point is chosen else c for c in cells)} |")
    return "\n".join(lines)


def plot(points: Sequence[Point], by: Measure, path: Path) -> None:
    """Plot a measure against the first setting of the grid, with a line for each value of the others, as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    first = next(iter(points[0].given), "")
    figure = Figure(figsize=(6.4, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        others = ", ".join(f"{name} {value}" for name, value in point.given.items() if name != first)
        lines.setdefault(others, []).append((float(point.updates.get(first, 0.0)), MEASURES[by][1](point)))
    for others, of_line in lines.items():
        axes.plot(*zip(*sorted(of_line), strict=True), marker="o", label=others or None)
    axes.set_xlabel(first)
    axes.set_ylabel(MEASURES[by][0])
    axes.grid(alpha=0.3)
    if any(lines):
        axes.legend(fontsize=8)
    with atomic_write(path) as fresh:
        figure.savefig(fresh, format="png")


def write_choice(point: Point, by: Measure, bundle: Bundle, on: str, path: Path) -> None:
    """Write the settings of a point for `score --settings`, with bundle, data and measure of the choice.

    Raises:
        InputError: the file cannot be written.
    """
    about = {"bundle": bundle.name, "chosen_on": on, "by": MEASURES[by][0], "value": MEASURES[by][1](point)}
    write_text(path, json.dumps({"settings": dict(point.updates), **about}, indent=1) + "\n")
