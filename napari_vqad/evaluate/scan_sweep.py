"""Analyse one scan at all points of a grid of settings, and describe each analysis in a few numbers.

`sweep_pace` orders the points so that the networks run as little as possible.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.cases import NORMAL, Case, labelled_case
from napari_vqad.evaluate.metrics import in_table
from napari_vqad.evaluate.result_cache import CaseResult, ResultCache
from napari_vqad.evaluate.scan_measures import MEASURES, measure, measures_of
from napari_vqad.evaluate.settings_grid import GridPoint, settings_key
from napari_vqad.evaluate.sweep_pace import SweepPace, SweepProgress
from napari_vqad.imaging.grid import Grid


class SweptPoint(NamedTuple):
    """A point that is done.

    Attributes:
        point: its settings.
        values: measure → value; see `scan_measures`.
    """

    point: GridPoint
    values: dict[str, float]


def sweep_scan(
    explorer: Explorer,
    base: Settings,
    points: Sequence[GridPoint],
    case: Case,
    labelled: bool,
    keep: ResultCache = ResultCache(),  # noqa: B008  # frozen
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[SweptPoint | SweepProgress]:
    """Analyse the scan that an explorer has loaded at all points.

    Args:
        explorer: has loaded the scan; no other thread uses it.
        base: values of the settings that are not in the grid.
        points: see `grid_points`.
        case: the scan, and its label if it is known; see `scan_case`.
        labelled: is the label known?
        keep: stored results, which are not computed again; see `stored_points`.
        stopped: asked before each point; the sweep ends when it returns True, and after `Explorer.cancel`.

    Raises:
        InputError: the bundle does not allow a value.
    """
    names = measures_of(explorer.detector, case.grid.kind, labelled)
    pace = SweepPace(explorer, base, points)
    for point in pace.order:
        if stopped():
            return
        settings = base.model_copy(update=dict(point.updates))
        way = way_of(explorer.bundle, settings)
        stored = keep.read(case, way)
        if stored is not None and len(stored.details) == len(names):
            values = dict(zip(names, map(float, stored.details), strict=True))
        else:
            pace.begin()
            explorer.change(settings)
            for step in explorer.work():
                yield from pace.paused(pace.progress(step))
            if not explorer.complete or stopped():
                return
            values = measure(explorer, case, labelled)
            pace.end(point)
            details = np.array([values[name] for name in names])
            keep.write(case, way, CaseResult(np.zeros(0), np.zeros(0), np.nan, 0.0, details))
        pace.done(point)
        yield SweptPoint(point, values)
        yield pace.progress()


def scan_case(grid: Grid, mask: NDArray[np.bool_], label: NDArray[np.bool_] | None) -> Case:
    """Make the case of a scan on the model's grid; mask and label are on the scan's voxels, bool (R, A, S)."""
    if label is not None:
        return labelled_case("scan", grid, mask, label)
    nothing = np.zeros(grid.mask.shape, bool)
    return Case("scan", NORMAL, grid, nothing.astype(np.float32), nothing, grid.mask)


def way_of(bundle: Bundle, settings: Settings) -> str:
    """Return the name under which the results of some settings are stored; it depends on nothing else."""
    return hashlib.sha256(settings_key(bundle, settings).encode()).hexdigest()[:16]


def stored_points(folder: Path | None, bundle: Bundle) -> ResultCache:
    """Return the stored results in a folder (None: no results are stored), for `sweep_scan`."""
    return ResultCache.of(folder, bundle, Settings(), f"scan {' '.join(MEASURES)}")


def table_rows(
    points: Sequence[GridPoint], values: Sequence[Mapping[str, float]], names: Sequence[str]
) -> tuple[list[str], list[list[object]]]:
    """Return header and rows of a table: the settings as given and as numbers, then the measures.

    A point without values has empty cells.
    """
    given = list(points[0].given) if points else []
    numbers = [name for name in given if any(_is_percentile(p, name) for p in points)]
    header = [*given, *(f"{name}_number" for name in numbers), *names]
    rows = []
    for point, found in zip(points, values, strict=True):
        settings = [*(point.given[n] for n in given), *(point.updates[n] for n in numbers)]
        rows.append([*settings, *(_cell(found.get(name)) for name in names)])
    return header, rows


def markdown(points: Sequence[GridPoint], values: Sequence[Mapping[str, float]], names: Sequence[str]) -> str:
    """Make a Markdown table with one row per point."""
    titles = [f"{MEASURES[n].title} ({MEASURES[n].unit})" if MEASURES[n].unit else MEASURES[n].title for n in names]
    lines = [f"| settings | {' | '.join(titles)} |", "|---" * (len(names) + 1) + "|"]
    for point, found in zip(points, values, strict=True):
        cells = [in_table(found.get(name, np.nan), MEASURES[name].digits) for name in names]
        lines.append(f"| {point.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _is_percentile(point: GridPoint, name: str) -> bool:
    """Check whether a setting was given as a percentile, for which the point has a number."""
    return str(point.given[name]).startswith("p") and isinstance(point.updates[name], float)


def _cell(value: float | None) -> object:
    return "" if value is None or np.isnan(value) else round(value, 6)
