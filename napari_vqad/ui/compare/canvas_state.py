"""Save the state of the canvas before a comparison, and restore it afterwards."""

from __future__ import annotations

from napari.viewer import Viewer

PARTIAL = "napari_vqad_partial"  # in the metadata of a map's layer: why its data are not up to date
CELL = "napari_vqad_cell"  # in the metadata of the layers of a comparison


def comparison_is_open(viewer: Viewer) -> bool:
    """Does the canvas show a comparison?"""
    return any(CELL in layer.metadata for layer in viewer.layers)


class SavedCanvas:
    """Hides all layers, and stores which were visible, the layer grid, the active layer and the camera."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        grid, camera = viewer.canvas.grid, viewer.scene.camera
        self._grid = grid.stride, grid.shape, grid.enabled
        self._plane = viewer.dims.order, viewer.dims.ndisplay
        self._camera = camera.center, camera.zoom
        self._active = viewer.layers.selection.active
        self._seen = [layer for layer in viewer.layers if layer.visible]
        for layer in self._seen:
            layer.visible = False

    def give_back(self) -> None:
        """Restore the stored state, for layers that still exist."""
        layers, dims, camera = self.viewer.layers, self.viewer.dims, self.viewer.scene.camera
        for layer in self._seen:
            if layer in layers:
                layer.visible = True
        grid = self.viewer.canvas.grid
        grid.stride, grid.shape, grid.enabled = self._grid
        if self._active in layers:
            layers.selection.active = self._active
        if self._plane == (dims.order, dims.ndisplay):
            camera.center, camera.zoom = self._camera
        else:
            self.viewer.fit_to_view()
