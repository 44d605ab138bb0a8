"""Radiological (the patient's right on the left of the picture) or neurological (on the right)."""

from __future__ import annotations

from collections.abc import Callable

from napari_vqad.ui.plumbing.connections import ViewerConnections

PLAIN = ("down", "right")  # the directions of the world's axes in a radiological picture
RIGHT = -1  # the world axis between the patient's right and left, the last one


class Convention:
    """Applies the convention by flipping the camera, never the data, so maps and files do not change."""

    def __init__(self, connections: ViewerConnections, is_head: Callable[[], bool]) -> None:
        self.viewer, self.is_head = connections.viewer, is_head
        self.neurological = False
        self._flipped = False
        connections.connect(self.viewer.dims.events.order, self.apply)
        connections.connect(self.viewer.dims.events.ndisplay, self.apply)
        connections.on_close(lambda: self.set(False))

    def set(self, neurological: bool) -> None:
        """Choose a convention."""
        self.neurological = neurological
        self.apply()

    def orientation(self, displayed: tuple[int, ...], ndim: int) -> tuple[str, str]:
        """The directions of the displayed axes (down, across). Neurological flips only the right–left axis."""
        down, across = PLAIN
        if self.neurological and displayed[-2] == ndim + RIGHT:
            down = "up"
        if self.neurological and displayed[-1] == ndim + RIGHT:
            across = "left"
        return down, across

    def apply(self) -> None:
        """Set the orientation of the camera; in 3D, and without a head, restore napari's default."""
        dims = self.viewer.dims
        if self.is_head() and dims.ndisplay == 2 and dims.ndim >= 3:
            wanted = self.orientation(dims.displayed, dims.ndim)
        elif self._flipped:
            wanted = PLAIN
        else:
            return
        self._flipped = wanted != PLAIN
        if tuple(str(o) for o in self.viewer.scene.camera.orientation2d) != wanted:
            self.viewer.scene.camera.orientation2d = wanted
