"""A cell of a comparison: one model's map over a copy of the scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.layers import Image, Layer

from napari_vqad.display.scales import healthy_value, limits, unit_and_healthy
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.compare.canvas_state import CELL
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import heat_colours


@dataclass
class Panel:
    """One model's cell of the grid: its explorer, a layer with the scan, and a layer with the map above it.

    `drawn` is the map last drawn and `name` its name; `final` marks the slices that were final then; `stack` is what
    the layer shows: the newest final picture of each slice.
    """

    explorer: Explorer
    scan: Layer
    map: Image
    drawn: np.ndarray | None = None
    final: np.ndarray | None = None
    stack: np.ndarray | None = None
    name: str = ""

    def refresh(self, name: str | None, view: str, level: str) -> str:
        """Update the map. Returns a line with the range of its colours and the number of unfinished slices.

        A slice that is not final shows its last final picture, as in the explorer. The colours begin at the same
        healthy percentile in all cells, so that equal colours are equally rare among each model's healthy scans.

        Args:
            name: the map; None if the model has no map for the view.
            view: the view that the user chose, such as "NLL".
            level: the healthy percentile of the darkest colour, such as "p90".
        """
        explorer = self.explorer
        self.map.visible = name is not None
        if name is None:
            return f"{explorer.bundle.title} has no map '{view}'"
        low, high = limits(explorer)[name]
        if (healthy := healthy_value(explorer, name, level)) is not None:
            low = healthy
        high = max(high, low + 1e-3)
        self.map.contrast_limits = (low, high)
        ready, stack, chosen = explorer.ready(name), explorer.map(name), explorer.chosen()
        if stack is not self.drawn or self.final is None or not np.array_equal(ready, self.final):
            before = self.stack if self.name == name and self.stack is not None else np.zeros_like(stack)
            needed = ready | ~chosen
            self.stack = stack if needed.all() else np.where(needed[:, None, None], stack, before)
            self.drawn, self.final, self.name = stack, ready, name
            np.copyto(self.map.data, placement.to_canvas(explorer.grid.to_display(self.stack, order=1)))
            self.map.refresh(extent=False)
        unit, _ = unit_and_healthy(explorer, name)
        left = int((chosen & ~ready).sum())
        rest = f"; {left} of {explorer.n_slices} not final yet" if left else ""
        return f"{explorer.bundle.title}: {low:.1f} to {high:.1f} {unit}{rest}"


def make_panel(explorer: Explorer, scan_layer: Image, volume: Volume, number: int) -> Panel:
    """Make the layers of a cell; `number` identifies it."""
    title, grid = explorer.bundle.title, explorer.grid
    known = {"napari_vqad": volume, "napari_vqad_grid": grid, CELL: number}
    scan = Image(
        placement.to_canvas(volume.voxels),
        name=f"Scan, {title}",
        contrast_limits=scan_layer.contrast_limits,
        metadata=known,
        **placement.placed_as(volume),
    )
    shown = Image(
        placement.to_canvas(np.zeros(grid.view.shape, np.float32)),
        name=title,
        colormap=heat_colours(),
        interpolation2d="linear",
        blending="translucent",
        metadata=known,
        **placement.placed_on(grid),
    )
    # At the bottom, because the upper left, where napari shows names, has the plane and the convention.
    shown.name_overlay.position = "bottom_center"
    shown.name_overlay.font_size = 8  # cells are narrow
    shown.name_overlay.visible = True
    return Panel(explorer, scan, shown)
