"""Keep the whole head in view when the canvas changes, unless the user has zoomed or panned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from napari.layers import Image

from napari_vqad.ui.compare.canvas_state import comparison_is_open
from napari_vqad.ui.layers import placement
from napari_vqad.ui.plumbing.connections import ViewerConnections

ALIKE = 1e-3  # relative to zoom and canvas size; smaller differences are rounding errors


class Fit:
    """Fits the view again when the size of the canvas changes, and between 2D and 3D. For a new plane napari does so.

    If zoom and centre differ from those of the last fit, the user has changed the view, and it is left alone.
    """

    def __init__(self, connections: ViewerConnections) -> None:
        self.viewer = connections.viewer
        self._fitted: tuple[float, ...] | None = None  # zoom and centre of the last fit
        self._point: tuple[float, ...] = ()  # `dims.point` while in 3D
        dims = self.viewer.dims.events
        connections.connect(self.viewer.events.reset_view, self._store_fit)
        connections.connect(self.viewer.canvas.events.size, self.refit)
        connections.connect(dims.point, self._on_point)
        connections.connect(dims.ndisplay, self._on_ndisplay)  # after napari's own listener
        self._fit_initial()

    @property
    def whole(self) -> bool:
        """Is the view as it was fitted, so that it shows the whole head?"""
        if self._fitted is None:
            return False
        across = min(self.viewer.canvas.size) / self._fitted[0]  # world units that the canvas showed
        zoom, *centre = self._view()
        near = np.abs(np.subtract(centre, self._fitted[1:])) <= ALIKE * across
        return bool(abs(zoom / self._fitted[0] - 1) <= ALIKE and near[-2:].all())

    def refit(self) -> None:
        """Fit the view again, unless the user has changed it, no scan is open, or a comparison is shown."""
        if self._has_scan() and not comparison_is_open(self.viewer) and self.whole:
            self.viewer.fit_to_view()

    def show(self, point: Sequence[float]) -> None:
        """Centre the canvas on a point of the plane shown, unless the whole head is in view."""
        if not self.whole:
            self.viewer.scene.camera.center = (*([0.0] * (3 - len(point))), *point)

    def _fit_initial(self) -> None:
        """Fit the initial view, unless the user has moved its centre, which zooming by the wheel does, too."""
        if not self._has_scan():
            return
        camera = self.viewer.scene.camera
        zoom, centre = camera.zoom, camera.center
        self.viewer.fit_to_view()
        if not np.allclose(centre, camera.center, atol=ALIKE * min(self.viewer.canvas.size) / zoom):
            camera.zoom, camera.center = zoom, centre

    def _on_point(self) -> None:
        if self.viewer.dims.ndisplay == 3:
            self._point = self.viewer.dims.point

    def _on_ndisplay(self) -> None:
        """Fit the view. Back in 2D show the previous slice; napari would show that of the camera's centre."""
        dims = self.viewer.dims
        if dims.ndisplay == 3:
            self._point = dims.point
        elif len(self._point) == dims.ndim:
            dims.point = self._point
        self.refit()

    def _store_fit(self) -> None:
        self._fitted = self._view()

    def _view(self) -> tuple[float, ...]:
        camera = self.viewer.scene.camera
        return (camera.zoom, *camera.center)

    def _has_scan(self) -> bool:
        return any(isinstance(layer, Image) and placement.may_be_scan(layer) for layer in self.viewer.layers)
