"""The letters R, L, A, P, S and I at the edges of the canvas, and a text with the slice and the convention."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from napari.components.overlays import TextOverlay

from napari_vqad.display.orientation import Edges, edges, edges_3d, with_convention
from napari_vqad.imaging.slice_numbers import Ruler, ruler
from napari_vqad.imaging.volume import Volume, along
from napari_vqad.ui.layers import placement
from napari_vqad.ui.plumbing.connections import ViewerConnections

PLANES = ("axial", "coronal", "sagittal")  # in the order of the world axes that they are stacked along
PLACES = {"left": "middle_left", "right": "middle_right", "top": "top_center", "bottom": "bottom_center"}
WORDS = "top_left"
IN_3D = "3D, what is flagged"


class Letters:
    """Updates the letters on the canvas when plane, camera or scan change; there are none without a head."""

    def __init__(
        self,
        connections: ViewerConnections,
        head: Callable[[], Volume | None],
        ruler_of: Callable[[Volume, int], Ruler] | None = None,
    ) -> None:
        """`ruler_of` gives the slice numbers of a scan along a canonical axis; by default those of its own slices."""
        self.viewer, self.head, self.ruler_of = connections.viewer, head, ruler_of or _own_ruler
        self.note = ""  # shown instead of slice and convention unless empty
        viewer, shown = self.viewer, self.viewer.canvas.overlays
        for name, place in {**PLACES, "words": WORDS}.items():
            big = name != "words"
            overlay = TextOverlay(text="", position=place, font_size=14 if big else 9, gridded=big)
            shown[f"vqad_{name}"] = overlay
            connections.on_close(partial(shown.pop, f"vqad_{name}"))
        connections.connect(viewer.dims.events.order, self.refresh)
        connections.connect(viewer.dims.events.ndisplay, self.refresh)
        connections.connect(viewer.dims.events.point, self.refresh)
        connections.connect(viewer.canvas.grid.events.enabled, self.refresh)
        connections.connect(viewer.scene.camera.events.orientation, self.refresh)
        connections.connect(viewer.scene.camera.events.angles, self._on_angles)
        self.refresh()

    def at(self) -> Edges | None:
        """The letters of the picture in view; None if there are none to show."""
        volume, plane, camera = self.head(), placement.plane_of(self.viewer.dims), self.viewer.scene.camera
        if volume is not None and placement.in_3d(self.viewer.dims):
            return edges_3d(volume, camera.view_direction, camera.up_direction)
        if volume is None or plane is None:
            return None
        down, across = (str(o) for o in self.viewer.scene.camera.orientation2d)
        return edges(volume, *plane, (down, across))

    def slice_in_words(self) -> str:
        """The slice in view in words, such as "Axial 34, S 27 mm"."""
        volume, plane = self.head(), placement.plane_of(self.viewer.dims)
        if volume is not None and placement.in_3d(self.viewer.dims):
            return IN_3D
        if volume is None or plane is None:
            return ""
        stacked = 3 - sum(plane)  # a world axis; canonical axes are in reverse order
        axis = 2 - stacked
        mm = float(placement.frame_mm(volume.kind, self.viewer.dims.point)[axis])
        number = self.ruler_of(volume, axis).number(mm)
        return f"{PLANES[stacked].capitalize()} {number}, {along(axis, mm, volume.oblique, volume.side_known)}"

    def say(self, note: str) -> None:
        """Show a note in place of slice and convention; an empty note shows these again."""
        self.note = note
        self.refresh()

    def _on_angles(self) -> None:
        if self.viewer.dims.ndisplay == 3:
            self.refresh()

    def refresh(self) -> None:
        """Update letters and text."""
        at = self.at()
        if at is None:
            shown = dict.fromkeys((*PLACES, "words"), "")
        else:
            flat = self.viewer.dims.ndisplay == 2
            words = with_convention(self.slice_in_words(), at) if flat else self.slice_in_words()
            if self.viewer.canvas.grid.enabled:  # a narrow cell: the words must not reach the letter at its top
                words = words.replace(", ", "\n")
            shown = {**at._asdict(), "words": self.note or words}
        for name, text in shown.items():
            overlay = self.viewer.canvas.overlays[f"vqad_{name}"]
            overlay.text = text
            overlay.visible = bool(text)


def _own_ruler(volume: Volume, axis: int) -> Ruler:
    return ruler(axis, volume.kind, volume.frame)
