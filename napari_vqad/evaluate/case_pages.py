"""One row a labelled case, for looking by eye at what a method sees and misses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from napari_vqad.display.colours import ALERT, FAINT, INK, PAPER, heat
from napari_vqad.display.orientation import upright
from napari_vqad.display.scales import WINDOW, limits
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.cases import Case
from napari_vqad.files.atomic import atomic_folder

COLUMNS = ("Scan", "NLL", "Restoration", "Residual", "Pixel score")
ROWS = 7  # a page


@dataclass(frozen=True)
class CaseRow:
    """One slice of a case: 2D maps by name, label and mask, all (H, W) as displayed."""

    title: str
    scan: np.ndarray
    mask: np.ndarray
    label: np.ndarray
    maps: dict[str, np.ndarray]
    scale: dict[str, tuple[float, float]]


class CasePages:
    """Collects a slice of every case and method; `write` makes the pages."""

    def __init__(self) -> None:
        self.looks: dict[str, dict[str, CaseRow]] = {}  # method → title → look

    def add(self, case: Case, explorer: Explorer) -> None:
        """Keep the slice with most of the label, of an untouched case the one with the highest pixel score.

        So a row of an untouched case shows the worst false finding there is.
        """
        stacks = {name: explorer.map(name) for name in ("nll", "restoration", "residual", "pixel_score")}
        per_slice = case.label.sum((1, 2)) if case.label.any() else stacks["pixel_score"].max((1, 2))
        i = int(per_slice.argmax())
        look = CaseRow(
            f"{case.name}\n{case.kind}",
            upright(case.grid.slices[i]),
            upright(case.grid.mask[i]),
            upright(case.label[i]),
            {name: upright(stack[i]) for name, stack in stacks.items()},
            limits(explorer),
        )
        # Of several settings with one method the last counts.
        self.looks.setdefault(explorer.settings.method, {})[look.title] = look

    def write(self, folder: Path) -> list[Path]:
        """`METHOD-PAGE.png` in the folder, which is made; the files."""
        written = []
        for method, by_title in self.looks.items():
            looks = list(by_title.values())
            for page, first in enumerate(range(0, len(looks), ROWS), start=1):
                with atomic_folder(folder) as new:
                    path = new / f"{method}-{page}.png"
                    draw_page(looks[first : first + ROWS], method).savefig(path, dpi=110, facecolor=PAPER)
                written.append(folder / path.name)
        return written


def draw_page(looks: list[CaseRow], method: str) -> Figure:
    """Rows are cases, columns the maps over the scan; the label is outlined in all of them."""
    tall, wide = looks[0].scan.shape
    figure = Figure(figsize=(1.1 + 2.2 * len(COLUMNS) * wide / tall, 2.2 * len(looks) + 0.5), facecolor=PAPER)
    axes = figure.subplots(len(looks), len(COLUMNS), squeeze=False)
    width, height = figure.get_size_inches()
    figure.subplots_adjust(left=1.0 / width, right=0.995, top=1 - 0.45 / height, bottom=0.01, wspace=0.02, hspace=0.03)
    for row, look in zip(axes, looks, strict=True):
        for ax, column in zip(row, COLUMNS, strict=True):
            ax.set_axis_off()
            under = look.maps["restoration"] if column == "Restoration" else look.scan
            ax.imshow(np.where(look.mask, under, WINDOW[0]), cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1])
            key = {"NLL": "nll", "Residual": "residual", "Pixel score": "pixel_score"}.get(column)
            if key:
                low, high = look.scale[key]
                ax.imshow(look.maps[key], cmap=heat(), vmin=low, vmax=high, interpolation="bilinear")
            if look.label.any():
                ax.contour(look.label, levels=[0.5], colors=[ALERT], linewidths=0.8)
        row[0].text(-0.05, 0.5, look.title, color=INK, fontsize=9, ha="right", transform=row[0].transAxes)
    for ax, column in zip(axes[0], COLUMNS, strict=True):
        ax.set_title(column, color=INK, fontsize=10, pad=4)
    figure.text(0.06 / width, 1 - 0.3 / height, method, color=FAINT, fontsize=9)
    return figure
