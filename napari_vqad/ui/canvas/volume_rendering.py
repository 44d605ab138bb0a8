"""The 3D view: flagged voxels as solid pieces in a translucent head. Back in 2D the layers look as before."""

from __future__ import annotations

import warnings
from typing import Any

from napari.layers import Image, Labels, Layer

from napari_vqad.ui.compare.canvas_state import comparison_is_open
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import MapLayers
from napari_vqad.ui.plumbing.connections import ViewerConnections

# With the mean along the line of sight the head is translucent; with additive blending it hides no piece.
HEAD = {"rendering": "average", "blending": "additive", "opacity": 1.0}
PIECES = {"opacity": 1.0}
AWAY, UP = (0.45, 0.85, 0.4), (-1.0, 0.0, 0.0)  # the view from the front, slightly from the right and above


class Solid:
    """Changes the look of the layers of an analysis for 3D, the same for every view, and restores it in 2D."""

    def __init__(self, connections: ViewerConnections, map_layers: MapLayers) -> None:
        self.viewer, self.map_layers = connections.viewer, map_layers
        self._looks_2d: list[tuple[Any, dict[str, Any]]] = []  # the look of scan, pieces and canvas in 2D
        self._mask_was_visible = False
        self._angles = self.viewer.scene.camera.angles  # napari's default, until the user rotates the head
        # napari slices the layers for 3D before its event is sent, and would warn about outlines that `_enter_3d`
        # removes a moment later.
        warnings.filterwarnings("ignore", message="Contours are not displayed during 3D rendering")
        connections.connect(self.viewer.dims.events.ndisplay, self._enter_3d)
        connections.connect(self.viewer.dims.events.ndisplay, self._leave_3d)
        map_layers.viewed.connect(self._enter_3d)
        connections.on_close(self._restore)

    def _enter_3d(self) -> None:
        """Set up the 3D view; again when the view or the analysis changes."""
        camera, map_layers = self.viewer.scene.camera, self.map_layers
        scan, flagged, mask = map_layers.scan, map_layers.layers.get("flagged"), map_layers.layers.get("mask")
        if not placement.in_3d(self.viewer.dims) or comparison_is_open(self.viewer):
            return
        if not isinstance(scan, Image) or not isinstance(flagged, Labels):
            return
        if not any(layer is flagged for layer, _ in self._looks_2d):  # else only the view changed
            self._restore()
            if camera.angles == self._angles:
                camera.set_view_direction(AWAY, UP)
            self._mask_was_visible = mask is not None and mask.visible
            self._apply(scan, HEAD)
            self._apply(flagged, PIECES)
            self._apply(self.viewer.canvas, {"background_color_override": "black"})  # white hides additive layers
        map_layers.outline(False)
        for layer in map_layers.layers.values():
            if layer.visible != (layer is flagged):
                layer.visible = layer is flagged

    def _leave_3d(self) -> None:
        if self.viewer.dims.ndisplay == 3 or not self._looks_2d:
            return
        self._restore()
        self.map_layers.outline(True)
        if "mask" in self.map_layers.layers:
            self.map_layers.layers["mask"].visible = self._mask_was_visible
        self.map_layers.show(self.map_layers.view, self.map_layers.which)

    def _apply(self, layer: Any, wanted: dict[str, Any]) -> None:
        self._looks_2d.append((layer, {name: getattr(layer, name) for name in wanted}))
        for name, value in wanted.items():
            setattr(layer, name, value)

    def _restore(self) -> None:
        before, self._looks_2d = self._looks_2d, []
        for layer, was in before:
            if isinstance(layer, Layer) and layer not in self.viewer.layers:  # of an earlier analysis
                continue
            for name, value in was.items():
                setattr(layer, name, value)
