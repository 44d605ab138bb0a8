"""A cell of a comparison: one model's map over a copy of the scan."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from napari.layers import Image, Layer

from napari_vqad.display.scales import limits, unit_and_healthy
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.compare.canvas_state import CELL
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import heat_colours


@dataclass
class Panel:
    """One model's cell of the grid: its explorer, a copy of the scan, and its map above.

    `drawn` is the map that is shown, `final` its slices that were final then, and `stack` what is seen of it.
    """

    explorer: Explorer
    scan: Layer
    map: Image
    drawn: np.ndarray | None = None
    final: np.ndarray | None = None
    stack: np.ndarray | None = None
    name: str = ""

    def refresh(self, name: str | None, view: str, level: str) -> str:
        """Bring a map up to date, and say what its colours stand for and how far it is.

        A slice that waits for others shows what was final before, as in the explorer.

        Args:
            name: the map; None where the model has none for the view.
            view: what the user wants to see, such as "NLL".
            level: the healthy percentile that is the darkest colour of evidence, such as "p90".
        """
        explorer = self.explorer
        self.map.visible = name is not None
        if name is None:
            return f"{explorer.bundle.title}: it has no map '{view}'"
        low, high = limits(explorer)[name]
        healthy = explorer.detector.healthy(name, explorer.settings)
        if explorer.maps[name].role == "evidence" and healthy:
            table, kind = healthy
            low = explorer.bundle.calibration.value(table, level, kind=kind)
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
    """The layers of a cell; `number` tells it from others."""
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
    # Below the picture's lower letter: at napari's place for names, the upper left, stand plane and convention.
    shown.name_overlay.position = "bottom_center"
    shown.name_overlay.font_size = 8  # a cell is narrow
    shown.name_overlay.visible = True
    return Panel(explorer, scan, shown)
