"""The present point on the canvas while the other planes are shown, and a click that moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari.layers import Points
from napari.viewer import Viewer

from napari_vqad.ui import frame
from napari_vqad.volume import Volume

NAME = "Cross-hair"
SIZE = 24  # pixels of the canvas, at any zoom
COLOUR = (0.35, 0.75, 1.0, 0.8)  # as in the other planes


class CrossHair:
    """A point in a layer of its own, kept at the viewer's point; not in a grid, where it would take a cell."""

    def __init__(self, viewer: Viewer, head: Callable[[], Volume | None]) -> None:
        self.viewer, self.head = viewer, head
        self.on = False
        self._layer: Points | None = None
        viewer.dims.events.point.connect(self.refresh)
        viewer.canvas.grid.events.enabled.connect(self.refresh)
        viewer.mouse_drag_callbacks.append(self._click)

    def show(self, on: bool) -> None:
        """Show or hide it."""
        self.on = on
        self.refresh()

    def refresh(self) -> None:
        """Bring it to the point."""
        viewer, volume, layer = self.viewer, self.head(), self._layer
        if layer is not None and layer not in viewer.layers:
            layer = self._layer = None
        if volume is None or not self.on or viewer.canvas.grid.enabled or viewer.dims.ndim != 3:
            if layer is not None:
                self._layer = None
                viewer.layers.remove(layer)
            return
        if layer is None:
            active = viewer.layers.selection.active
            # On the scan's own steps: with other ones the slider would stop between its slices.
            layer = self._layer = viewer.add_points(
                ndim=3, name=NAME, symbol="cross", size=1, face_color=[COLOUR], border_width=0, **_placed(volume)
            )
            layer.canvas_size_limits = (SIZE, SIZE)
            viewer.layers.selection.active = active
        at = layer.world_to_data(viewer.dims.point)
        if not len(layer.data) or any(abs(a - b) > 1e-6 for a, b in zip(layer.data[0], at, strict=True)):
            layer.data = [at]

    def _click(self, viewer: Viewer, event: Any) -> Iterator[None]:
        """A click without a drag; a drag pans, as ever."""
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


def _placed(volume: Volume) -> dict[str, Any]:
    return {**frame.placed_as(volume), "metadata": {"napari_vqad": volume}}
