"""The contact sheet: a scan's maps on one page, for visual review."""

from __future__ import annotations

import textwrap
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.image import AxesImage

from napari_vqad.display import slice_scores
from napari_vqad.display.colours import ALERT, FAINT, INK, PAPER, heat
from napari_vqad.display.columns import Column, columns_of
from napari_vqad.display.orientation import upright
from napari_vqad.display.scales import WINDOW, limits, unit_and_healthy
from napari_vqad.engine.completeness import incomplete
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.text import printable

ROWS = 8
# Fonts on Linux, Windows and macOS for characters that DejaVu Sans lacks.
SCRIPTS = ("Noto Sans CJK JP", "Yu Gothic", "Hiragino Sans", "Malgun Gothic", "Microsoft YaHei", "Arial Unicode MS")


def draw_sheet(explorer: Explorer, name: str, slices: list[int] | None = None) -> Figure:
    """Draw the contact sheet: rows are slices from the top of the head down, columns the scan and the maps.

    `slices` are indices of the grid; by default `choose_slices` chooses them.
    """
    grid, columns = explorer.grid, columns_of(explorer.maps)
    chosen = choose_slices(explorer) if slices is None else slices
    scores, flagged = explorer.slice_scores(), explorer.flagged_slices()

    tall, wide = upright(grid.slices[0]).shape
    height = 1.75 * len(chosen) + 2.0
    figure = Figure(figsize=(1.15 + 1.78 * len(columns) * wide / tall, height), facecolor=PAPER)
    axes = figure.subplots(len(chosen), len(columns), squeeze=False)
    figure.subplots_adjust(
        left=1.1 / figure.get_figwidth(),
        right=0.995,
        top=1 - 1.15 / height,
        bottom=0.75 / height,
        wspace=0.02,
        hspace=0.03,
    )
    shown: dict[str, AxesImage] = {}
    number_of, frames = numbers(grid), grid.kind == "clip"
    for row, i in zip(axes, chosen, strict=True):
        for ax, column in zip(row, columns, strict=True):
            image = paint(ax, explorer, i, column)
            if image is not None and column.map:
                shown[column.map] = image
        if not frames:
            row[0].text(
                -0.06, 0.82, f"slice {number_of[i]}", color=INK, fontsize=9, ha="right", transform=row[0].transAxes
            )
        row[0].text(
            -0.06,
            0.62,
            grid.slice_label(i),
            color=INK,
            fontsize=9,
            ha="right",
            transform=row[0].transAxes,
        )
        mark = " ▲" if flagged[i] else ""
        value = slice_scores.value(explorer, scores[i]) + mark
        row[0].text(
            -0.06,
            0.42,
            value,
            color=ALERT if flagged[i] else FAINT,
            fontsize=8.5,
            ha="right",
            transform=row[0].transAxes,
        )
        letters(row[0], grid.axis)
    for ax, column in zip(axes[0], columns, strict=True):
        ax.set_title(column.title, color=INK, fontsize=11, pad=5)
    _headline(figure, explorer, name)
    for place, column in enumerate(columns):
        if column.map in shown:
            box = axes[-1, place].get_position()
            bar = figure.add_axes((box.x0 + 0.012, 0.5 / height, box.width - 0.024, 0.09 / height))
            colour_bar(figure, shown[column.map], bar, unit_and_healthy(explorer, column.map)[0])
    return figure


def paint(ax: Axes, explorer: Explorer, index: int, column: Column) -> AxesImage | None:
    """Draw one slice of a column, with the scan under each map; return the coloured image, if any, for a colour bar."""
    grid = explorer.grid
    ax.set_axis_off()
    restored = column.map if column.role == "restoration" else None
    under = explorer.map(restored)[index] if restored else grid.slices[index]
    dark, bright = WINDOW
    ax.imshow(upright(np.where(grid.mask[index], under, dark)), cmap="gray", vmin=dark, vmax=bright)
    if column.map is not None and column.coloured:
        low, high = limits(explorer)[column.map]
        seen = upright(explorer.map(column.map)[index])
        return ax.imshow(seen, cmap=heat(), vmin=low, vmax=high, interpolation="bilinear")
    if column.role == "flagged" and (flagged := explorer.map("flagged")[index]).any():
        ax.contour(upright(flagged), levels=[0.5], colors=[ALERT], linewidths=1.2)
    return None


def letters(ax: Axes, axis: int) -> None:
    """Draw the letters of the patient's sides at the edges of a slice; `axis` is its canonical axis."""
    left, right, top = {0: ("A", "P", "S"), 1: ("R", "L", "S"), 2: ("R", "L", "A")}[axis]
    for x, y, letter in ((0.03, 0.5, left), (0.97, 0.5, right), (0.5, 0.95, top)):
        ax.text(x, y, letter, color=FAINT, fontsize=7, ha="center", va="center", transform=ax.transAxes)


def colour_bar(figure: Figure, image: ScalarMappable, ax: Axes, unit: str) -> None:
    """Draw a map's horizontal colour bar into `ax`."""
    ax.set_facecolor("#3a3a40")
    bar = figure.colorbar(image, cax=ax, orientation="horizontal")
    bar.set_label(unit, color=FAINT, fontsize=8, labelpad=2)
    bar.ax.tick_params(colors=INK, labelsize=8, length=2)
    bar.outline.set_visible(False)


def choose_slices(explorer: Explorer) -> list[int]:
    """Choose slices at least 3 apart: three with the highest scores, others spread over the brain; top first."""
    ready = np.flatnonzero(explorer.ready("pixel_score"))
    if not len(ready):
        return [len(explorer.grid) // 2]
    peak = np.nan_to_num(explorer.slice_scores())
    if explorer.detector.scored is not None:
        peak = np.percentile(explorer.map("pixel_score").reshape(len(explorer.grid), -1), 99.5, axis=1)
    spread = ready[np.rint(np.linspace(0.12, 0.9, ROWS - 3) * (len(ready) - 1)).astype(int)]
    chosen: list[int] = []
    for i in [*ready[np.argsort(-peak[ready])], *spread]:
        high = len(chosen) < 3 or i in spread
        if high and all(abs(i - c) > 2 for c in chosen) and len(chosen) < ROWS:
            chosen.append(int(i))
    return sorted(chosen, reverse=True)


def _headline(figure: Figure, explorer: Explorer, name: str) -> None:
    s, t = explorer.settings, explorer.thresholds()
    chosen = explorer.detector.in_words(s, t)
    flagged = f"{int(explorer.flagged_slices().sum())} of {explorer.n_slices} slices flagged ▲"
    outline = "research use only, not a medical device"
    if explorer.detector.scored is not None:
        chosen += f", pooling {s.pooling}"
        outline = f"outlined: pixel score above {t['flag_voxels']:.2f}  ·  {outline}"
    if explorer.grid.oblique:
        outline += f"  ·  mm{explorer.grid.axis_note}"
    lines: tuple[tuple[float, str, dict[str, Any]], ...] = (
        (0.27, name, {"color": INK, "fontsize": 14, "fontweight": "bold"}),
        (0.51, f"{explorer.bundle.title}  ·  {chosen}", {"color": FAINT, "fontsize": 8.5}),
        (0.69, f"{flagged}  ·  {outline}", {"color": FAINT, "fontsize": 8.5}),
    )
    fitness = explorer.fitness()
    warnings = [words for words in (incomplete(explorer), "" if fitness.fits else fitness.verdict) if words]
    if warnings:
        words = textwrap.shorten("  ·  ".join(warnings), 150, placeholder=" …")
        lines = (*lines, (0.87, words, {"color": ALERT, "fontsize": 8.5, "fontweight": "bold"}))
    for below, text, style in lines:
        # A name may contain $, which would start a formula, and characters of any script.
        place: dict[str, Any] = {"va": "center", "parse_math": False, "fontfamily": _fonts()}
        figure.text(0.014, 1 - below / figure.get_figheight(), printable(text), **place, **style)


@lru_cache(maxsize=1)
def _fonts() -> list[str]:
    """List matplotlib's default font, then the fonts of `SCRIPTS` that are installed."""
    known = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *(name for name in SCRIPTS if name in known)]
