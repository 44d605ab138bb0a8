"""Boxes around the findings, as a labels layer: correct in every plane, and fast with thousands of findings."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QTimer

from napari_vqad.display.colours import DIM
from napari_vqad.findings.findings import Finding
from napari_vqad.imaging.grid import Grid
from napari_vqad.ui.layers import placement
from napari_vqad.ui.session import Session

NAME = "Finding boxes"
COLOUR = (0.35, 0.75, 1.0, 1.0)  # the colour-blind can tell it from that of flagged voxels
MARGIN = 1  # voxels, so that a box does not hide the edge of its finding
NUMBERS = 65_535
OPAQUE = 0.7


def box_stack(found: list[Finding], grid: Grid) -> np.ndarray:
    """The boxes, uint16 (R, A, S) on the view's voxels: each holds its finding's number, the first finding on top.

    The view has the axes of the scan, so boxes are parallel to them even if the grid is rotated.
    """
    stack = np.zeros(grid.view.shape, np.uint16)
    if not found:
        return stack
    indices = [f.piece.indices for f in found]
    starts = np.cumsum([0, *(len(i) for i in indices[:-1])])
    to_view = np.linalg.inv(grid.view.to_mm) @ grid.placement
    at = grid.axes_index(np.concatenate(indices)) @ to_view[:3, :3].T + to_view[:3, 3]
    low = np.floor(np.minimum.reduceat(at, starts) + 0.5).astype(int) - MARGIN
    high = np.ceil(np.maximum.reduceat(at, starts) - 0.5).astype(int) + MARGIN + 1
    for finding, a, b in reversed(list(zip(found, np.maximum(low, 0), np.maximum(high, 0), strict=True))):
        stack[tuple(map(slice, a, b))] = 1 + (finding.number - 1) % NUMBERS
    return stack


class Boxes:
    """Updates the layer of boxes. It is hidden while napari shows layers in a grid, where it would take a cell."""

    def __init__(self, session: Session) -> None:
        self.viewer, self.session = session.viewer, session
        self.on = False
        self._layer: Labels | None = None
        self._drawn: tuple = (None, None)  # explorer and findings
        session.review.changed.connect(self.refresh)
        session.opened.connect(self.refresh)
        session.emptied.connect(self._hide_and_remove)
        self._refresh_timer = QTimer()
        self._refresh_timer.setSingleShot(True)
        self._refresh_timer.setInterval(0)
        self._refresh_timer.timeout.connect(self.refresh)
        session.connections.connect(self.viewer.canvas.grid.events.enabled, self.refresh)
        session.connections.on_close(self._remove)

    @property
    def layer(self) -> Labels | None:
        """The layer of the boxes while they are switched on; the other planes show it even if a grid hides it."""
        there = self._layer is not None and self._layer in self.viewer.layers
        return self._layer if there and self.on else None

    def show(self, on: bool) -> None:
        """Show or hide the boxes. Findings are computed for them even if the list is closed."""
        self.on = self.session.boxed = on
        if on:
            self.session.list_findings()
        self.refresh()

    def refresh(self) -> None:
        """Update the layer."""
        explorer, found = self.session.explorer, self.session.review.found
        if explorer is None or explorer is not self._drawn[0]:  # the layer belongs to another scan
            self._remove()
        layer = self._layer if self._layer is not None and self._layer in self.viewer.layers else None
        if explorer is None or explorer.grid.kind != "head" or not (self.on or layer is not None):
            return
        if layer is None:
            layer, self._drawn = self._add(explorer.grid), (explorer, None)
        if self.on and self._drawn[1] is not found:
            np.copyto(layer.data, placement.to_canvas(box_stack(found, explorer.grid)))
            layer.refresh(extent=False)
            self._drawn = explorer, found
        layer.opacity = DIM * OPAQUE if self.session.review.note else OPAQUE  # dimmed if out of date
        layer.visible = self.on and not self.viewer.canvas.grid.enabled

    def _hide_and_remove(self) -> None:
        """Hide the layer at once, and remove it later: napari may be changing its list of layers now."""
        if self._layer is not None:
            self._layer.visible = False
            self._refresh_timer.start()

    def _remove(self) -> None:
        if self._layer is not None and self._layer in self.viewer.layers:
            self.viewer.layers.remove(self._layer)
        self._layer = None

    def _add(self, grid: Grid) -> Labels:
        chosen = self.viewer.layers.selection.active
        assert self.session.explorer is not None
        known = {"napari_vqad": self.session.explorer.scan, "napari_vqad_grid": grid}
        self._layer = layer = self.viewer.add_labels(
            placement.to_canvas(np.zeros(grid.view.shape, np.uint16)),
            name=NAME,
            colormap=DirectLabelColormap(color_dict={None: COLOUR, 0: (0, 0, 0, 0)}),
            metadata=known,
            **placement.placed_on(grid),
        )
        layer.contour = 1
        self.viewer.layers.selection.active = chosen  # keys and window must still act on that layer
        return layer
