"""Radiological (the patient's right on the left of the picture) or neurological (on the right)."""

from __future__ import annotations

from collections.abc import Callable

from napari_vqad.ui.plumbing.connections import ViewerConnections

PLAIN = ("down", "right")  # where the world's axes grow to in a radiological picture
RIGHT = -1  # the world axis along which the patient's right lies, the last one


class Convention:
    """Turns the camera, never the data: maps and files stay as they are."""

    def __init__(self, connections: ViewerConnections, is_head: Callable[[], bool]) -> None:
        self.viewer, self.is_head = connections.viewer, is_head
        self.neurological = False
        self._turned = False
        connections.connect(self.viewer.dims.events.order, self.apply)
        connections.connect(self.viewer.dims.events.ndisplay, self.apply)
        connections.on_close(lambda: self.set(False))

    def set(self, neurological: bool) -> None:
        """Choose a convention."""
        self.neurological = neurological
        self.apply()

    def orientation(self, displayed: tuple[int, ...], ndim: int) -> tuple[str, str]:
        """Where the axes displayed (down, across) grow to: the one of right and left is turned round, and no other."""
        down, across = PLAIN
        if self.neurological and displayed[-2] == ndim + RIGHT:
            down = "up"
        if self.neurological and displayed[-1] == ndim + RIGHT:
            across = "left"
        return down, across

    def apply(self) -> None:
        """Bring the camera in line; in 3D, and where there is no head, it is left as napari has it."""
        dims = self.viewer.dims
        if self.is_head() and dims.ndisplay == 2 and dims.ndim >= 3:
            wanted = self.orientation(dims.displayed, dims.ndim)
        elif self._turned:
            wanted = PLAIN
        else:
            return
        self._turned = wanted != PLAIN
        if tuple(str(o) for o in self.viewer.scene.camera.orientation2d) != wanted:
            self.viewer.scene.camera.orientation2d = wanted
