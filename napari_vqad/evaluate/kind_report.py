"""The detector table by kind of anomaly, as Markdown, CSV and a figure of cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from napari_vqad.evaluate.detector_table import Row
from napari_vqad.evaluate.kind_table import KIND_MEASURES
from napari_vqad.evaluate.metrics import in_table
from napari_vqad.evaluate.subject_bootstrap import interval
from napari_vqad.export.tables import table_csv

FILES = ("kinds.md", "kinds.csv", "kinds.png")
CELL = (0.62, 0.24)  # inches, of a kind and of a row in the figure


def write(folder: Path, rows: Sequence[Row], reference: Row) -> None:
    """Write the three files into an existing folder; none of them if the rows have no kinds."""
    if not reference.kinds:
        return
    (folder / FILES[0]).write_text(markdown(rows, reference), encoding="utf-8")
    (folder / FILES[1]).write_text(as_csv(rows, reference), encoding="utf-8")
    draw(rows).savefig(folder / FILES[2], dpi=130)


def markdown(rows: Sequence[Row], reference: Row) -> str:
    """Write a table for each measure, then the differences from the reference."""
    kinds = list(reference.kinds)
    lines = [
        "# By kind of anomaly",
        "",
        "Each kind together with the scans without an anomaly. In brackets: 95 % interval of 1,000 bootstrap samples "
        "of subjects; samples without a scan of the kind are left out. A kind has few scans, so intervals are wide.",
    ]
    for measure, title in KIND_MEASURES.items():
        lines += ["", f"## {title[0].upper()}{title[1:]}", "", *_head(kinds)]
        for row in rows:
            lines.append(_line([row.bundle, row.method, *(_cell(row, kind, measure) for kind in kinds)]))
    for measure, title in KIND_MEASURES.items():
        lines += ["", f"## {title[0].upper()}{title[1:]}: difference from {reference.bundle}, {reference.method}", ""]
        lines += ["Over the same samples; bold where the interval excludes zero.", "", *_head(kinds)]
        for row in rows:
            if row is not reference:
                cells = [_difference(row, reference, kind, measure) for kind in kinds]
                lines.append(_line([row.bundle, row.method, *cells]))
    return "\n".join(lines) + "\n"


def as_csv(rows: Sequence[Row], reference: Row) -> str:
    """Write one line per row, kind and measure, with the difference from the reference, and intervals."""
    header = ["family", "bundle", "method", "kind", "measure", "value", "low", "high"]
    header += ["reference", "difference", "difference_low", "difference_high"]
    body: list[list[object]] = []
    for row in rows:
        for kind, measures in row.kinds.items():
            for measure, (value, rounds) in measures.items():
                base, of_base = reference.kinds[kind][measure]
                apart = [value - base, *interval(rounds - of_base)]
                body.append(
                    [
                        row.family,
                        row.bundle,
                        row.method,
                        kind,
                        measure,
                        value,
                        *interval(rounds),
                        reference.name,
                        *apart,
                    ]
                )
    return table_csv(header, [["" if v != v else v for v in line] for line in body])


def draw(rows: Sequence[Row]) -> Figure:
    """Draw a grid of cells for each measure, rows against kinds, with the value in each cell."""
    kinds = list(rows[0].kinds)
    labels = [f"{row.bundle}, {row.method}" for row in rows]
    left, below, above = 0.075 * max(map(len, labels)) + 0.2, 0.2, 0.75
    size = (left + 2 * (CELL[0] * len(kinds) + 0.15), below + CELL[1] * len(rows) + above)
    figure = Figure(figsize=size)
    panels = figure.subplots(1, len(KIND_MEASURES), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(left / size[0], below / size[1], 1 - 0.15 / size[0], 1 - above / size[1], wspace=0.03)
    for axes, (measure, title) in zip(panels, KIND_MEASURES.items(), strict=True):
        values = np.array([[row.kinds[kind][measure][0] for kind in kinds] for row in rows])
        low = 0.5 if measure == "slice_auroc" else 0.0  # chance
        axes.imshow(values, vmin=low, vmax=1, cmap="cividis", aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            ink = "black" if value > 0.5 * (1 + low) else "white"
            axes.text(
                x, y, in_table(value), ha="center", va="center", fontsize=7, color="0.3" if value != value else ink
            )
        axes.set_xticks(range(len(kinds)), kinds, fontsize=8, rotation=30, ha="left")
        axes.xaxis.tick_top()
        axes.set_title(title, fontsize=9)
        axes.set_yticks(range(len(rows)), labels, fontsize=8)
        axes.tick_params(length=0)
    return figure


def _cell(row: Row, kind: str, measure: str) -> str:
    value, rounds = row.kinds[kind][measure]
    low, high = interval(rounds)
    return "–" if np.isnan(value) else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _difference(row: Row, reference: Row, kind: str, measure: str) -> str:
    (value, rounds), (base, of_base) = row.kinds[kind][measure], reference.kinds[kind][measure]
    low, high = interval(rounds - of_base)
    if np.isnan(value - base):
        return "–"
    words = f"{value - base:+.2f} ({low:+.2f} to {high:+.2f})"
    return f"**{words}**" if low > 0 or high < 0 else words


def _head(kinds: Sequence[str]) -> list[str]:
    return [_line(["bundle", "method", *kinds]), "|---" * (len(kinds) + 2) + "|"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
