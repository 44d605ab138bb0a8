"""The detector table as Markdown, CSV and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from napari_vqad.display.families import COLOURS, FAMILIES, by_family
from napari_vqad.evaluate import kind_report
from napari_vqad.evaluate.detector_table import MEASURES, Options, Row
from napari_vqad.evaluate.metrics import in_table
from napari_vqad.export.tables import table_csv
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.settings import is_of_training

FILES = ("table.md", "table.csv", "table.png", *kind_report.FILES)
DRAWN = ("slice_auroc", "slice_ap", "voxel_ap", "best_dice", "dice", "image_ap", "sensitivity")
WIDTH, HEIGHT = 1.55, 0.27  # inches, of a panel and of a row


def write(folder: Path, rows: Sequence[Row], reference: Row, options: Options, about: Sequence[str]) -> None:
    """Write the files into a folder, which is created if necessary; `about` are sentences above the tables.

    The tables by kind are written only if the scans have several kinds of anomaly.

    Raises:
        InputError: the folder cannot be written to.
    """
    rows = by_family(rows, lambda row: row.family)
    with atomic_folder(folder) as new:
        (new / "table.md").write_text(markdown(rows, reference, options, about), encoding="utf-8")
        (new / "table.csv").write_text(as_csv(rows, reference), encoding="utf-8")
        draw(rows, options).savefig(new / "table.png", dpi=130)
        kind_report.write(new, rows, reference)


def titles(options: Options) -> dict[str, str]:
    """Return measure → its title with the threshold that it is at."""
    share, rate = options.percentile[1:], options.rate
    return {
        **MEASURES,
        "best_dice": "best Dice (threshold chosen on these scans)",
        "dice": f"Dice per scan, above {share} % of voxels of {_scans(options)} scans",
        "sensitivity": f"lesions found at {rate} healthy findings a scan",
        "false_findings": f"false findings per scan at {rate}",
    }


def markdown(rows: Sequence[Row], reference: Row, options: Options, about: Sequence[str]) -> str:
    """Write the table with intervals, then the differences from the reference."""
    named = titles(options)
    head = ["family", "model", "method", *named.values(), "s per slice"]
    subjects, scans, abnormal = rows[0].n
    lines = [
        "# Detectors on the same scans",
        "",
        f"{subjects} subjects, {scans} scans, {abnormal} of them with an anomaly. In brackets: 95 % interval of "
        "1,000 bootstrap samples of subjects.",
        *about,
        "",
        _line(head),
        "|---" * len(head) + "|",
    ]
    for row in rows:
        cells = [_cell(row.values[m], row.interval(m), row.dice_sd if m == "dice" else None) for m in MEASURES]
        lines.append(_line([FAMILIES[row.family], row.title, row.method, *cells, in_table(row.seconds, 4)]))
    lines += ["", f"## Difference from {reference.title}, {reference.method}", ""]
    lines += ["Over the same samples of subjects; bold where the interval excludes zero.", ""]
    lines += [_line(["model", "method", *named.values()]), "|---" * (len(MEASURES) + 2) + "|"]
    for row in rows:
        if row is not reference:
            lines.append(_line([row.title, row.method, *(_difference(row, reference, m) for m in MEASURES)]))
    return "\n".join(lines) + "\n"


def as_csv(rows: Sequence[Row], reference: Row) -> str:
    """Write one line per row: each measure and its difference from the reference, with their intervals."""
    ends = ("", "_low", "_high", "_difference", "_difference_low", "_difference_high")
    header = ["family", "bundle", "title", "method", "subjects", "scans", "abnormal_scans", "seconds_per_slice"]
    header += ["dice_sd", "reference", *(f"{measure}{end}" for measure in MEASURES for end in ends)]
    body = []
    for row in rows:
        numbers: list[object] = []
        for measure in MEASURES:
            apart, apart_interval = row.difference(measure, reference)
            numbers += [row.values[measure], *row.interval(measure), apart, *apart_interval]
        about = [row.family, row.bundle, row.title, row.method, *row.n, row.seconds, row.dice_sd, reference.name]
        body.append([*about, *numbers])
    return table_csv(header, [["" if v is not None and v != v else v for v in line] for line in body])


def draw(rows: Sequence[Row], options: Options) -> Figure:
    """Draw a panel for each measure: a point with its interval for each row, in the colour of its family."""
    named = titles(options) | {
        "best_dice": "best Dice (threshold\nchosen on these scans)",
        "dice": f"Dice per scan, above\n{options.percentile[1:]} % of {_scans(options)} voxels",
        "sensitivity": f"lesions found, {options.rate}\nhealthy findings a scan",
    }
    labels = [f"{row.bundle}, {row.method}" for row in rows]
    left, below, above = 0.075 * max(map(len, labels)) + 0.5, 1.0, 0.15
    size = left + WIDTH * len(DRAWN) + 0.15, below + HEIGHT * len(rows) + above
    figure = Figure(figsize=size)
    panels = figure.subplots(1, len(DRAWN), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(left / size[0], below / size[1], 1 - 0.15 / size[0], 1 - above / size[1], wspace=0.12)
    at = np.arange(len(rows))
    for axes, measure in zip(panels, DRAWN, strict=True):
        for y, row in zip(at, rows, strict=True):
            (low, high), value = row.interval(measure), row.values[measure]
            colour = COLOURS[row.family]
            axes.plot([low, high], [y, y], color=colour, lw=2, alpha=0.55, solid_capstyle="butt")
            axes.plot([value], [y], "o", color=colour, ms=5)
        axes.set_xlabel(named[measure], fontsize=8)
        axes.tick_params(labelsize=8, length=2)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlim(0.4 if "auroc" in measure else 0, 1.02)
        if "auroc" in measure:
            axes.axvline(0.5, color="0.5", lw=0.8, ls=":")  # chance
    panels[0].set_yticks(at, labels)
    panels[0].set_ylabel("bundle, method", fontsize=8)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    shown = dict.fromkeys(row.family for row in rows)
    marks = [Line2D([], [], color=COLOURS[f], marker="o", lw=2, label=FAMILIES[f]) for f in shown]
    figure.legend(handles=marks, loc="lower center", ncols=len(marks), fontsize=8, frameon=False)
    return figure


def _scans(options: Options) -> str:
    """Which scans the threshold for Dice is a percentile of."""
    return "training" if is_of_training(options.percentile) else "healthy"


def _cell(value: float, ends: tuple[float, float], sd: float | None) -> str:
    if np.isnan(value):
        return "–"
    spread = "" if sd is None else f" ± {sd:.3f}"
    return f"{value:.3f}{spread} ({ends[0]:.3f} to {ends[1]:.3f})"


def _difference(row: Row, reference: Row, measure: str) -> str:
    apart, (low, high) = row.difference(measure, reference)
    if np.isnan(apart):
        return "–"
    words = f"{apart:+.3f} ({low:+.3f} to {high:+.3f})"
    return f"**{words}**" if low > 0 or high < 0 else words


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
