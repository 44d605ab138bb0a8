"""The cross-hair on the canvas while the other planes are shown. A click moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from napari.layers import Points
from napari.viewer import Viewer

from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.layers import placement
from napari_vqad.ui.plumbing.connections import ViewerConnections

NAME = "Cross-hair"
ACROSS = 12.0  # mm, the diameter of the ring around the point; a ring does not hide the point
COLOUR = "#59bfff"  # as in the other planes


class CrossHair:
    """A points layer with a ring at the viewer's point. It is removed in grid mode, where it would take a cell."""

    def __init__(self, connections: ViewerConnections, head: Callable[[], Volume | None]) -> None:
        self.viewer, self.head = connections.viewer, head
        self.on = False
        self._layer: Points | None = None
        self._made_for: tuple = ()  # plane and scan that the layer was made for; its points are on the scan's voxels
        self._place: tuple[float, ...] = ()  # the point in the plane
        dims, grid = self.viewer.dims.events, self.viewer.canvas.grid.events
        for event in (dims.point, dims.order, dims.ndisplay, grid.enabled):
            connections.connect(event, self.refresh)
        connections.add_mouse_drag(self._click)

    def show(self, on: bool) -> None:
        """Show or hide the cross-hair."""
        self.on = on
        self.refresh()

    def refresh(self) -> None:
        """Move the cross-hair to the viewer's point; add or remove its layer if needed."""
        viewer, volume, plane = self.viewer, self.head(), placement.plane_of(self.viewer.dims)
        wanted = self.on and not viewer.canvas.grid.enabled
        if self._layer is not None and self._layer not in viewer.layers:  # the user removed it
            self._layer = None
        made_for = (plane, id(volume)) if wanted and plane and volume is not None else ()
        if self._layer is not None and made_for != self._made_for:
            layer, self._layer = self._layer, None
            viewer.layers.remove(layer)
        self._made_for = made_for
        if volume is None or plane is None or not made_for:
            return
        place = tuple(viewer.dims.point[d] for d in viewer.dims.displayed)
        if self._layer is None:
            self._add(volume, self._points(volume, 3 - sum(plane)))
        elif place != self._place:
            self._layer.data = self._points(volume, 3 - sum(plane))
        self._place = place

    def _add(self, volume: Volume, points: np.ndarray) -> None:
        active = self.viewer.layers.selection.active
        # With the scan's voxel size; another one would make napari's slider stop between slices.
        self._layer = self.viewer.add_points(
            points,
            name=NAME,
            symbol="disc",
            size=ACROSS / float(volume.spacing.mean()),
            face_color="transparent",
            border_color=COLOUR,
            border_width=0.08,
            **placement.placed_as(volume),
        )
        self.viewer.layers.selection.active = active

    def _points(self, volume: Volume, stacked: int) -> np.ndarray:
        """The point in every slice, (n, 3) voxels of the scan: moving one point with each slice would be slow."""
        placed, shape = placement.placed_as(volume), volume.voxels.shape[::-1]
        at = (np.array(self.viewer.dims.point[-3:]) - placed["translate"]) / placed["scale"]
        found = np.tile(np.clip(at, 0, np.array(shape) - 1), (shape[stacked], 1))
        found[:, stacked] = np.arange(len(found))
        return found

    def _click(self, viewer: Viewer, event: Any) -> Iterator[None]:
        """Move the point on a click without a drag; a drag pans as usual."""
        active = viewer.layers.selection.active
        free = active is None or active.mode == "pan_zoom"
        if not self.on or self._layer is None or not free or event.button != 1 or event.modifiers:
            return
        yield
        while event.type == "mouse_move":
            if max(abs(a - b) for a, b in zip(event.pos, event.press_event.pos, strict=True)) > 3:
                return
            yield
        axes = list(viewer.dims.displayed)
        if len(axes) == 2:
            viewer.dims.set_point(axes, [event.position[d] for d in axes])
