"""What the heat maps of a sweep show, in words and numbers, without a toolkit."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_vqad.detectors.settings import Settings
from napari_vqad.display import slice_scores
from napari_vqad.display.scales import score_unit
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.scan_measures import MEASURES, ScanMeasure, measures_of
from napari_vqad.evaluate.scan_sweep import table_rows
from napari_vqad.evaluate.scan_sweep_command import command_line
from napari_vqad.evaluate.settings_grid import GridPoint, settings_key
from napari_vqad.tuning.sweep_axes import TickWords, tick_words, title_of, unit_words
from napari_vqad.tuning.sweep_plan import DonePoints, SweepPlan

FOR_THIS_SCAN = "Settings chosen by this label describe this scan only; on other scans they may be worse."


@dataclass(frozen=True)
class SweepView:
    """What the heat maps show. The index of a cell is that of its point in the plan.

    Attributes:
        ticks: words at the values of columns, rows and panels; one empty word for an axis without a setting.
        titles: of the three axes, with units; empty for an axis without a setting.
        values: of each cell; None if it is not done, NaN if the measure is not defined.
        digits: decimals of the numbers.
        unit: of the values; empty without one.
        here: the cell where the sliders stand; None if they stand at none.
        tips: all measures of each cell, in lines.
    """

    ticks: tuple[tuple[TickWords, ...], tuple[TickWords, ...], tuple[TickWords, ...]]
    titles: tuple[str, str, str]
    values: tuple[float | None, ...]
    digits: int
    unit: str
    here: int | None
    tips: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of columns, rows and panels."""
        columns, rows, panels = (len(ticks) for ticks in self.ticks)
        return columns, rows, panels

    def limits(self) -> tuple[float, float] | None:
        """The lowest and the highest value; None if no value is known."""
        known = [value for value in self.values if value is not None and np.isfinite(value)]
        return (min(known), max(known)) if known else None


def view_of(
    explorer: Explorer, settings: Settings, plan: SweepPlan, done: DonePoints, scan: str, label: Hashable, shown: str
) -> SweepView:
    """Return what the heat maps show of a plan.

    Args:
        explorer: holds the scan.
        settings: where the sliders stand.
        plan: the grid.
        done: the points that are done.
        scan, label: see `DonePoints`.
        shown: the measure.
    """
    ticks = [tuple(tick_words(explorer, plan.base, axis.name, value) for value in axis.values) for axis in plan.axes]
    titles = [_title(explorer, axis.name) for axis in plan.axes]
    while len(ticks) < 3:
        ticks.append((TickWords(""),))
        titles.append("")
    if len(plan.axes) == 3:
        titles[2] = title_of(plan.axes[2].name)
    found = [done.of(scan, label, key) for key in plan.keys]
    names = measures_of_scan(explorer, label is not None)
    now = settings_key(explorer.bundle, settings)
    words = {
        (axis.name, value): tick
        for axis, of in zip(plan.axes, ticks, strict=False)
        for value, tick in zip(axis.values, of, strict=True)
    }
    tips = []
    for point, values in zip(plan.points, found, strict=True):
        where = [
            f"{title_of(name)} {' · '.join(filter(None, words[name, value]))}" for name, value in point.given.items()
        ]
        tips.append("\n".join([", ".join(where), *_lines(explorer, values, names)]))
    return SweepView(
        (ticks[0], ticks[1], ticks[2]),
        (titles[0], titles[1], titles[2]),
        tuple(values.get(shown) for values in found),
        MEASURES[shown].digits,
        measure_unit(explorer, shown),
        plan.keys.index(now) if now in plan.keys else None,
        tuple(tips),
    )


def measure_title(name: str) -> str:
    """Return the title of a measure, for a list."""
    title = MEASURES[name].title
    return title[0].upper() + title[1:]


def measure_tip(name: str) -> str:
    """Return a sentence that says what a measure is."""
    return MEASURES[name].explained


def is_labelled(name: str) -> bool:
    """Check whether a measure needs a label."""
    return MEASURES[name].labelled


def measures_of_scan(explorer: Explorer, labelled: bool) -> list[str]:
    """List the measures that the explorer's detector has on its scan."""
    return measures_of(explorer.detector, explorer.grid.kind, labelled)


def missing_points(
    explorer: Explorer, plan: SweepPlan, done: DonePoints, scan: str, label: Hashable
) -> list[GridPoint]:
    """List the points of a plan that lack a measure; for the arguments see `view_of`."""
    names = set(measures_of_scan(explorer, label is not None))
    both = zip(plan.points, plan.keys, strict=True)
    return [point for point, key in both if not names <= set(done.of(scan, label, key))]


def table_of(
    explorer: Explorer, plan: SweepPlan, done: DonePoints, scan: str, label: Hashable
) -> tuple[list[str], list[list[object]]]:
    """Return header and rows of the table of a plan; cells of points that are not done are empty."""
    values = [done.of(scan, label, key) for key in plan.keys]
    return table_rows(plan.points, values, measures_of_scan(explorer, label is not None))


def command_words(explorer: Explorer, plan: SweepPlan, scan: str, mask: str | None, label: str | None) -> list[str]:
    """Return the words of the command that measures a plan headless, with the files of scan, mask and label."""
    grid = {axis.name: axis.values for axis in plan.axes}
    if explorer.grid.kind == "clip":
        mask = label = None  # a clip is analysed whole, and its labels are in its own file
    return command_line(explorer.bundle, plan.base, grid, scan, mask, label)


def measure_unit(explorer: Explorer, name: str) -> str:
    """Return the unit of a measure on this scan; empty without one."""
    measure: ScanMeasure = MEASURES[name]
    own = {
        "highest": score_unit(explorer),
        "highest_slice": slice_scores.unit(explorer),
        "volume_score": str(explorer.detector.slice_unit or ""),
    }
    return own.get(name, measure.unit)


def _title(explorer: Explorer, name: str) -> str:
    unit = unit_words(explorer, name)
    return f"{title_of(name)}, {unit}" if unit else title_of(name)


def _lines(explorer: Explorer, values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """Return a line for each measure of a cell, and what a click does."""
    lines = []
    for name in names:
        if (value := values.get(name)) is not None:
            number = "not defined" if np.isnan(value) else f"{value:.{MEASURES[name].digits}f}"
            lines.append(f"{measure_title(name)}: {number} {measure_unit(explorer, name)}".strip())
    return [*(lines or ["Not done yet."]), "Click to move the sliders here."]
