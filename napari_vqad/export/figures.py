"""Pictures for the report, as PNG: a finding in its slice, the colour bars, the profile of slice scores."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from napari_vqad.display import slice_scores
from napari_vqad.display.colours import ALERT, FAINT, INK, PAPER, heat
from napari_vqad.display.columns import columns_of
from napari_vqad.display.orientation import upright
from napari_vqad.display.scales import limits, unit_and_healthy
from napari_vqad.engine.completeness import missing_slices
from napari_vqad.engine.explorer import Explorer
from napari_vqad.export.contact_sheet import colour_bar, letters, paint
from napari_vqad.findings.findings import Finding

SHOWN = ("score", "evidence", "restoration")  # roles of the maps beside the scan
HIGH, WIDE = 2.3, 7.2  # inches
DPI = 110


def draw_finding(explorer: Explorer, finding: Finding) -> bytes:
    """Draw the slice through a finding's middle: the scan with the outline, then score, evidence and restoration."""
    columns = columns_of(explorer.maps, SHOWN)
    index = int(finding.piece.medoid[0])
    within = np.zeros(explorer.grid.slices.shape[1:], bool)
    box = finding.piece.box
    within[box[1:]] = finding.piece.inside[index - box[0].start]
    others = (explorer.map("flagged")[index] > 0) & ~within
    figure = Figure(figsize=(WIDE, HIGH), facecolor=PAPER)
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    figure.subplots_adjust(left=0.005, right=0.995, top=0.89, bottom=0.01, wspace=0.02)
    for ax, column in zip(axes, columns, strict=True):
        paint(ax, explorer, index, column)
        ax.set_title(column.title, color=INK, fontsize=8, pad=3)
        letters(ax, explorer.grid.axis)
    if others.any():
        axes[0].contour(upright(others), levels=[0.5], colors=[INK], linewidths=0.6, linestyles="dotted")
    axes[0].contour(upright(within), levels=[0.5], colors=[ALERT], linewidths=1.2)
    return _png(figure)


def draw_scales(explorer: Explorer) -> bytes:
    """Draw the colour bars of the maps that `draw_finding` draws in colour."""
    columns = columns_of(explorer.maps, SHOWN)
    figure = Figure(figsize=(WIDE, 0.55), facecolor=PAPER)
    for place, column in enumerate(columns):
        if column.map is not None and column.coloured:
            scale = ScalarMappable(Normalize(*limits(explorer)[column.map]), heat())
            bar = figure.add_axes((place / len(columns) + 0.015, 0.76, 1 / len(columns) - 0.03, 0.16))
            colour_bar(figure, scale, bar, f"{column.title}, {unit_and_healthy(explorer, column.map)[0]}")
    return _png(figure)


def draw_profile(explorer: Explorer) -> bytes:
    """Draw the score of each slice; flagged slices are orange, and hatched for print."""
    grid, limit = explorer.grid, explorer.thresholds()["flag_slices"]
    scores, flagged = explorer.slice_scores(), explorer.flagged_slices()
    mm = np.array([grid.slice_mm(i) for i in range(len(grid))])
    step = abs(mm[1] - mm[0]) if len(mm) > 1 else 1.0
    figure = Figure(figsize=(WIDE, 1.9), facecolor=PAPER)
    ax = figure.subplots()
    figure.subplots_adjust(left=0.09, right=0.985, top=0.93, bottom=0.25)
    ax.set_facecolor(PAPER)
    for these, colour, hatch in ((~flagged, FAINT, ""), (flagged, ALERT, "////")):
        ax.bar(mm[these], np.nan_to_num(scores[these]), 0.85 * step, color=colour, hatch=hatch, edgecolor=PAPER, lw=0)
    missing = missing_slices(explorer)
    ax.bar(mm[missing], 1, step, color="none", hatch="xxxx", edgecolor=FAINT, lw=0, transform=ax.get_xaxis_transform())
    ax.axhline(limit, color=INK, lw=0.9, ls="--")
    words = f"flagged above {slice_scores.value(explorer, limit)}"
    ax.annotate(words, (1, limit), xycoords=("axes fraction", "data"), xytext=(-3, 3),
                textcoords="offset points", color=INK, fontsize=7.5, ha="right")  # fmt: skip
    ax.set_ylim(0, 1.12 * max(limit, np.nanmax(np.nan_to_num(scores)), 1.0))
    if grid.kind == "head":
        ax.invert_xaxis()  # same slice direction as in the viewer
    ax.set_xlabel(f"{('R−L', 'A−P', 'S−I')[grid.axis]}, mm{grid.axis_note}", color=INK, fontsize=8)
    ax.set_ylabel(slice_scores.title(explorer), color=INK, fontsize=8)
    ax.tick_params(colors=INK, labelsize=7.5, length=2)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()
