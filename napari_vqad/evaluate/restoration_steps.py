"""Figure of a restoration after some of its draws (Marimont & Tarroni 2020, figure 2; Ishii 2023, figure 10)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from napari_vqad.display.colours import FAINT, INK, PAPER
from napari_vqad.display.slice_picture import PictureStyle, SlicePicture
from napari_vqad.display.unfolding_pictures import pictures_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.unfolding import unfolding
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_write


def draw(explorer: Explorer, index: int, j: int, steps: Sequence[int]) -> Figure:
    """Draw the scan, and a column with codes, NLL and picture for each number of draws.

    Args:
        explorer: an explorer that has analysed the slice.
        index: number of the slice on the grid.
        j: number of the restoration, from 0.
        steps: numbers of draws; a number above that of all draws shows the finished restoration.

    Raises:
        InputError: the slice has no restoration of codes.
    """
    found = unfolding(explorer, index, j)
    if found is None:
        raise InputError(f"{explorer.bundle.title} has no restoration of this slice to show step by step.")
    numbers = list(dict.fromkeys(min(n, found.steps) for n in steps))
    look = PictureStyle()
    figure = Figure(figsize=(2.1 * (len(numbers) + 1), 6.4), dpi=130, facecolor=PAPER, layout="constrained")
    axes = figure.subplots(3, len(numbers) + 1, squeeze=False)
    for panel in axes.ravel():
        panel.set_axis_off()
    axes[2][0].imshow(SlicePicture(explorer.grid, index, look).grey(explorer.grid.slices[index]))
    axes[2][0].set_title("Scan", color=INK, fontsize=9)
    axes[0][0].text(0, 0.5, f"{found.steps} codes drawn\nin all", color=FAINT, fontsize=9)
    for column, n in enumerate(numbers, 1):
        pictures, side = pictures_of(explorer, index, found.at(n), look)
        for panel, shown in zip(axes[:, column], pictures, strict=True):
            panel.imshow(shown.rgb, interpolation="nearest")
            panel.set_title(shown.title, color=FAINT, fontsize=7)
            panel.text(1, shown.rgb.shape[0] / 2, side, color=INK, fontsize=7, va="center")
        axes[0][column].set_title(f"{n} restored", color=INK, fontsize=9)
    return figure


def write(figure: Figure, path: Path) -> None:
    """Write a figure as PNG.

    Raises:
        InputError: the file cannot be written.
    """
    with atomic_write(path) as fresh:
        figure.savefig(fresh, format="png", facecolor=PAPER)
