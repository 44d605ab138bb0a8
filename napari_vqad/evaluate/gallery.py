"""A gallery of slices or frames: their regeneration, restorations, residuals and pixel score.

Marimont & Tarroni 2020 show such pictures in figure 4, and Ishii 2023 in figures 9 and 11 to 18.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from napari_vqad.detectors.settings import Settings
from napari_vqad.display.colours import ALERT, FAINT, INK, PAPER, heat
from napari_vqad.display.scales import limits, map_unit, score_unit
from napari_vqad.display.slice_picture import PictureStyle, SlicePicture
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.slice_numbers import numbers

REGENERATIVE = "regenerative"
ROWS = 12  # at most, on a page
PANEL, GAP = 1.35, 0.05  # inches: the height of a picture, and the space between two
LEFT, TOP, HEADING, BOTTOM = 0.95, 0.36, 0.56, 0.62  # inches: titles of rows, of the page, of blocks; colour bars
BAR, BAR_HEIGHT = 1.9, 0.1  # inches
NARROWEST = 5.5  # inches, of a page: both colour bars fit


class Scale(NamedTuple):
    """The value of the brightest colour, and its unit; the darkest colour is zero."""

    top: float
    unit: str


@dataclass(frozen=True)
class GalleryRow:
    """One slice or frame.

    Attributes:
        title: name of the slice.
        frame: turns its maps as the viewer does.
        scan, regeneration: float (H, W), SD of healthy intensity.
        restorations: those to show, (H, W) each, of the same unit; none for the method `REGENERATIVE`.
        score: pixel score, (H, W).
        label: bool (H, W), abnormal pixels; None if they are not known.
    """

    title: str
    frame: SlicePicture
    scan: NDArray
    regeneration: NDArray
    restorations: tuple[NDArray, ...]
    score: NDArray
    label: NDArray | None = None


@dataclass(frozen=True)
class GalleryBlock:
    """The rows of one model and one method, with the colours that residuals and pixel scores have in the viewer."""

    title: str
    rows: tuple[GalleryRow, ...]
    residual: Scale
    score: Scale


class Panel(NamedTuple):
    """A picture (h, w, 3), 0 to 1, with its column's title, and an outline over it, bool (h, w), if there is one."""

    title: str
    rgb: NDArray
    outline: NDArray | None = None


def row_of(
    explorer: Explorer, settings: Settings, index: int, shown: int, label: NDArray | None, name: str
) -> GalleryRow:
    """Analyse one slice.

    Args:
        explorer: holds the scan; its settings are changed.
        settings: the method and how it scores pixels; the slices to analyse are not read from it.
        index: the slice, along the grid.
        shown: number of restorations to show.
        label: bool (H, W), abnormal pixels of the slice; None if they are not known.
        name: first line of the row's title; none if empty.
    """
    grid, number = explorer.grid, int(numbers(explorer.grid)[index])
    one = settings.model_copy(update={"slices": (number, number)})
    explorer.focus = index
    explorer.change(one)
    explorer.finish()
    score = explorer.map("pixel_score")[index].copy()
    count = 0 if settings.method == REGENERATIVE else shown
    restorations = tuple(explorer.map("restoration_j", j)[index].copy() for j in range(count))
    # Its λ_p matters to nothing, and a tuned one is not known of this method.
    explorer.change(one.model_copy(update={"method": REGENERATIVE, "lambda_p": Settings().lambda_p}))
    explorer.finish()
    regeneration = explorer.map("restoration")[index].copy()
    words = [name, "" if grid.kind == "clip" else f"slice {number}", grid.slice_label(index)]
    words += [] if label is None else ["abnormal" if label.any() else "normal"]
    frame = SlicePicture(grid, index, PictureStyle())
    title = "\n".join(word for word in words if word)
    return GalleryRow(title, frame, grid.slices[index], regeneration, restorations, score, label)


def block_of(explorer: Explorer, settings: Settings, rows: Sequence[GalleryRow]) -> GalleryBlock:
    """Put the rows of a model and method together."""
    explorer.change(settings)
    scored, ends = explorer.detector.scored, limits(explorer)
    assert scored is not None  # the gallery shows restorations
    words = explorer.detector.in_words(explorer.settings, explorer.thresholds())
    return GalleryBlock(
        f"{explorer.bundle.title}: {words}",
        tuple(rows),
        Scale(ends[scored][1], map_unit(explorer, scored)),
        Scale(ends["pixel_score"][1], score_unit(explorer)),
    )


def panels_of(row: GalleryRow, residual: Scale, score: Scale) -> list[Panel]:
    """The pictures of a row, from left to right."""
    frame, scan = row.frame, row.scan

    def left_over(picture: NDArray) -> NDArray:
        return frame.heated(np.abs(scan - picture), (0.0, residual.top))

    panels = [Panel("Input", frame.grey(scan))]
    if row.label is not None:
        panels.append(Panel("Label", frame.grey(scan), frame.turned(row.label)))
    panels.append(Panel("Regeneration", frame.grey(row.regeneration)))
    for j, picture in enumerate(row.restorations, start=1):
        panels += [Panel(f"Restoration {j}", frame.grey(picture)), Panel(f"Residual {j}", left_over(picture))]
    if not row.restorations:
        panels.append(Panel("Residual", left_over(row.regeneration)))
    return [*panels, Panel("Pixel score", frame.heated(row.score, (0.0, score.top)))]


def shared_out(counts: Sequence[int], rows: int = ROWS) -> list[list[tuple[int, range]]]:
    """Share blocks out among pages of at most so many rows; a block is split only if no page can hold it.

    Args:
        counts: number of rows of each block.
        rows: at most, on a page.

    Returns:
        Of each page its parts: the number of the block, and which of its rows.
    """
    pages: list[list[tuple[int, range]]] = [[]]
    for block, count in enumerate(counts):
        for first in range(0, count, rows):
            part = range(first, min(first + rows, count))
            if sum(len(other) for _, other in pages[-1]) + len(part) > rows:
                pages.append([])
            pages[-1].append((block, part))
    return pages


def draw(title: str, blocks: Sequence[GalleryBlock], rows: int = ROWS) -> list[Figure]:
    """One figure for each page. Residuals have the same colours in all of them, and so have pixel scores.

    The axes of a figure are its panels, row by row from the top, and then the two colour bars.
    """
    residual, score = (max((getattr(b, name) for b in blocks), key=lambda s: s.top) for name in ("residual", "score"))
    pages = [[_part(blocks[n], some) for n, some in page] for page in shared_out([len(b.rows) for b in blocks], rows)]
    named = [title if len(pages) == 1 else f"{title} ({n} of {len(pages)})" for n in range(1, len(pages) + 1)]
    return [_page(name, page, residual, score) for name, page in zip(named, pages, strict=True)]


def _part(block: GalleryBlock, rows: range) -> GalleryBlock:
    title = block.title + (" (continued)" if rows.start else "")
    return replace(block, title=title, rows=block.rows[rows.start : rows.stop])


def _page(title: str, blocks: Sequence[GalleryBlock], residual: Scale, score: Scale) -> Figure:
    panels = [[panels_of(row, residual, score) for row in block.rows] for block in blocks]
    tall, wide = panels[0][0][0].rgb.shape[:2]  # as all others: slices of one scan, or frames of one camera
    panel_width = PANEL * wide / tall
    width = max(NARROWEST, LEFT + max(len(row) for block in panels for row in block) * (panel_width + GAP))
    height = TOP + len(blocks) * HEADING + sum(map(len, panels)) * (PANEL + GAP) + BOTTOM
    figure = Figure(figsize=(width, height), dpi=130, facecolor=PAPER)

    def write(x: float, y: float, words: str, colour: str = INK, size: float = 9, **how: Any) -> Text:
        return figure.text(x / width, 1 - y / height, words, color=colour, fontsize=size, parse_math=False, **how)

    _shorten(write(GAP, 0.08, title, va="top", weight="bold"), figure.bbox.width)
    y = TOP
    for block, rows in zip(blocks, panels, strict=True):
        _shorten(write(GAP, y + 0.08, block.title, va="top"), figure.bbox.width)
        y += HEADING
        for column, panel in enumerate(rows[0]):
            x = LEFT + column * (panel_width + GAP) + panel_width / 2
            write(x, y - 0.06, panel.title, FAINT, 8, ha="center", va="bottom")
        for row, pictures in zip(block.rows, rows, strict=True):
            words = "\n".join(_cut(line) for line in row.title.split("\n"))
            write(LEFT - 0.08, y + PANEL / 2, words, INK, 7.5, ha="right", va="center")
            for column, panel in enumerate(pictures):
                x = LEFT + column * (panel_width + GAP)
                place = (x / width, 1 - (y + PANEL) / height, panel_width / width, PANEL / height)
                _show(figure, place, panel, row.frame.side if column == 0 else "")
            y += PANEL + GAP
    for n, (name, scale) in enumerate((("Residual", residual), ("Pixel score", score))):
        place = ((LEFT + n * (BAR + 0.5)) / width, (BOTTOM - 0.24) / height, BAR / width, BAR_HEIGHT / height)
        _colour_bar(figure, place, f"{name} ({scale.unit})", scale.top)
    return figure


def _show(figure: Figure, place: tuple[float, float, float, float], panel: Panel, side: str) -> None:
    """Draw one picture, with the letter of the side at its left edge."""
    axes = figure.add_axes(place)
    axes.set_axis_off()
    axes.imshow(panel.rgb, interpolation="nearest", aspect="auto")
    if panel.outline is not None and panel.outline.any() and not panel.outline.all():
        axes.contour(panel.outline, levels=[0.5], colors=[ALERT], linewidths=0.9)
    axes.text(1, panel.rgb.shape[0] / 2, side, color=INK, fontsize=7, va="center")


def _colour_bar(figure: Figure, place: tuple[float, float, float, float], words: str, top: float) -> None:
    axes = figure.add_axes(place, facecolor="black")
    bar = figure.colorbar(ScalarMappable(Normalize(0, top), heat()), cax=axes, orientation="horizontal")
    bar.outline.set_edgecolor(FAINT)  # type: ignore[operator]
    bar.set_label(words, color=INK, fontsize=8, labelpad=2)
    axes.tick_params(colors=INK, labelsize=7, length=2, pad=2)


def _shorten(text: Text, edge: float) -> None:
    """Cut a line that would run beyond an edge of the page, in pixels."""
    words = text.get_text()
    while (box := text.get_window_extent()).x1 > edge:
        words = words[: int(len(words) * (edge - box.x0) / box.width) - 2]
        text.set_text(f"{words}…")


def _cut(line: str, letters: int = 14) -> str:
    """Shorten a line that would not fit left of the pictures."""
    return line if len(line) <= letters else f"{line[: letters - 1]}…"
