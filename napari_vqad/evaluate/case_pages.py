"""Pages with one row per labelled case, for visual inspection of what a method detects and misses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from napari_vqad.display.colours import ALERT, FAINT, INK, PAPER, heat
from napari_vqad.display.columns import Column, columns_of
from napari_vqad.display.orientation import upright
from napari_vqad.display.scales import WINDOW, limits
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.cases import Case
from napari_vqad.files.atomic import atomic_folder

SHOWN = ("evidence", "restoration", "residual", "score")  # roles of the maps shown beside the scan
ROWS = 7  # per page


@dataclass(frozen=True)
class CaseRow:
    """A slice of a case: scan, mask, label and maps, (H, W) each as displayed, and the colour limits of each map."""

    title: str
    scan: np.ndarray
    mask: np.ndarray
    label: np.ndarray
    columns: list[Column]
    maps: dict[str, np.ndarray]
    scale: dict[str, tuple[float, float]]


class CasePages:
    """Collects one slice of each case and method. `write` draws the pages."""

    def __init__(self) -> None:
        self.looks: dict[str, dict[str, CaseRow]] = {}  # method → title → row

    def add(self, case: Case, explorer: Explorer) -> None:
        """Store the slice with the most labelled voxels, or with the highest pixel score if the case has no label.

        The row of a normal case therefore shows its strongest false finding.
        """
        columns = columns_of(explorer.maps, SHOWN)
        stacks = {column.map: explorer.map(column.map) for column in columns if column.map}
        per_slice = case.label.sum((1, 2)) if case.label.any() else stacks["pixel_score"].max((1, 2))
        i = int(per_slice.argmax())
        look = CaseRow(
            f"{case.name}\n{case.kind}",
            upright(case.grid.slices[i]),
            upright(case.grid.mask[i]),
            upright(case.label[i]),
            columns,
            {name: upright(stack[i]) for name, stack in stacks.items()},
            limits(explorer),
        )
        # If several settings have the same variant, the last is shown.
        self.looks.setdefault(explorer.detector.variant(explorer.settings), {})[look.title] = look

    def write(self, folder: Path) -> list[Path]:
        """Write `METHOD-PAGE.png` into the folder, which is created if necessary, and return the files."""
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
    """Draw a page: rows are cases, columns are maps over the scan; all panels show the outline of the label."""
    columns, (tall, wide) = looks[0].columns, looks[0].scan.shape
    figure = Figure(figsize=(1.1 + 2.2 * len(columns) * wide / tall, 2.2 * len(looks) + 0.5), facecolor=PAPER)
    axes = figure.subplots(len(looks), len(columns), squeeze=False)
    width, height = figure.get_size_inches()
    figure.subplots_adjust(left=1.0 / width, right=0.995, top=1 - 0.45 / height, bottom=0.01, wspace=0.02, hspace=0.03)
    for row, look in zip(axes, looks, strict=True):
        for ax, column in zip(row, columns, strict=True):
            ax.set_axis_off()
            under = look.maps[column.map] if column.map and column.role == "restoration" else look.scan
            ax.imshow(np.where(look.mask, under, WINDOW[0]), cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1])
            if column.map and column.coloured:
                low, high = look.scale[column.map]
                ax.imshow(look.maps[column.map], cmap=heat(), vmin=low, vmax=high, interpolation="bilinear")
            if look.label.any():
                ax.contour(look.label, levels=[0.5], colors=[ALERT], linewidths=0.8)
        row[0].text(-0.05, 0.5, look.title, color=INK, fontsize=9, ha="right", transform=row[0].transAxes)
    for ax, column in zip(axes[0], columns, strict=True):
        ax.set_title(column.title, color=INK, fontsize=10, pad=4)
    figure.text(0.06 / width, 1 - 0.3 / height, method, color=FAINT, fontsize=9)
    return figure
