"""Which side of the patient each edge of the picture is: letters on the canvas; slice and convention in words.

World axes are −(S, A, R), as in `frame`; the letters are of the scan's own axes, so that they are right for oblique
scans, too: "R" is to the patient's right, "RA" to the right and, by more than about fifteen degrees, to the front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import numpy as np
from napari.components.overlays import TextOverlay

from napari_vqad.imaging.slice_numbers import Ruler, ruler
from napari_vqad.imaging.volume import SIDES, Volume, along
from napari_vqad.ui.layers import placement
from napari_vqad.ui.plumbing.connections import ViewerConnections

PLANES = ("axial", "coronal", "sagittal")  # by the world axis that they are stacked along
ASIDE = 0.25  # of a direction's length; as much to the side as this gets a letter of its own
PLACES = {"left": "middle_left", "right": "middle_right", "top": "top_center", "bottom": "bottom_center"}
WORDS = "top_left"
IN_3D = "3D, what is flagged"


class Edges(NamedTuple):
    """The letters at the edges of a picture."""

    left: str
    right: str
    top: str
    bottom: str


def letters(direction: Iterable[float]) -> str:
    """A direction in scanner (R, A, S) as letters, the nearest axis first: (0.9, 0.4, 0) is "RA"."""
    d = np.asarray(list(direction), float)
    d = d / np.linalg.norm(d)
    order = np.argsort(-np.abs(d), kind="stable")
    return "".join(SIDES[i][int(d[i] < 0)] for n, i in enumerate(order) if not n or abs(d[i]) > ASIDE)


def edges(volume: Volume, rows: int, columns: int, orientation: tuple[str, str]) -> Edges:
    """The letters of a picture of a scan; with "?" where nothing says how the head lies.

    Args:
        rows, columns: the world axes (0 to 2) that run down and across the picture.
        orientation: where each of these grows to, "down" or "up" and "right" or "left", as napari's camera has it.
    """
    # The world grows against the canonical axes, so what grows to the right has the axis' own direction on the left.
    up = volume.affine[:3, 2 - rows] * (1 if orientation[0] == "down" else -1)
    left = volume.affine[:3, 2 - columns] * (1 if orientation[1] == "right" else -1)
    doubt = "" if volume.side_known else "?"
    return Edges(*(letters(direction) + doubt for direction in (left, -left, up, -up)))


def in_words(slice_: str, at: Edges) -> str:
    """The slice, and below it the convention: radiological is the patient's right on the left."""
    known = {at.left[0]: "radiological", at.right[0]: "neurological"}.get("R")
    known = "sides not known" if "?" in at.left else known
    return f"{slice_}\n{known}" if known else slice_


def edges_3d(volume: Volume, view: Iterable[float], up: Iterable[float]) -> Edges:
    """The letters of a scan in 3D, of which way the camera's right and up run in the patient.

    Args:
        volume: the scan.
        view, up: the camera's directions in the world, −(S, A, R), away from the viewer and up the screen.
    """
    # The world's axes, in this order, are right-handed, as the patient's are in theirs.
    view, up = np.asarray(list(view), float), np.asarray(list(up), float)
    steps = volume.affine[:3, :3] / volume.spacing
    right_, top = (steps @ -w[::-1] for w in (np.cross(view, up), up))
    doubt = "" if volume.side_known else "?"
    return Edges(*(letters(direction) + doubt for direction in (-right_, right_, top, -top)))


class Letters:
    """Keeps the letters on the canvas right as planes, camera and scan change; none without a head."""

    def __init__(
        self,
        connections: ViewerConnections,
        head: Callable[[], Volume | None],
        ruler_of: Callable[[Volume, int], Ruler] | None = None,
    ) -> None:
        """`ruler_of` numbers the slices of a scan along a canonical axis; its own slices are numbered otherwise."""
        self.viewer, self.head, self.ruler_of = connections.viewer, head, ruler_of or _own_ruler
        self.note = ""  # said instead of the convention, while there is something to say
        viewer, shown = self.viewer, self.viewer.canvas.overlays
        for name, place in {**PLACES, "words": WORDS}.items():
            big = name != "words"
            overlay = TextOverlay(text="", position=place, font_size=14 if big else 9, gridded=big)
            shown[f"vqad_{name}"] = overlay
            connections.on_close(partial(shown.pop, f"vqad_{name}"))
        connections.connect(viewer.dims.events.order, self.refresh)
        connections.connect(viewer.dims.events.ndisplay, self.refresh)
        connections.connect(viewer.dims.events.point, self.refresh)
        connections.connect(viewer.scene.camera.events.orientation, self.refresh)
        connections.connect(viewer.scene.camera.events.angles, self._on_angles)
        self.refresh()

    def at(self) -> Edges | None:
        """The letters of the picture in view; None where there are none to show."""
        volume, plane, camera = self.head(), placement.plane_of(self.viewer.dims), self.viewer.scene.camera
        if volume is not None and placement.in_3d(self.viewer.dims):
            return edges_3d(volume, camera.view_direction, camera.up_direction)
        if volume is None or plane is None:
            return None
        down, across = (str(o) for o in self.viewer.scene.camera.orientation2d)
        return edges(volume, *plane, (down, across))

    def slice_in_words(self) -> str:
        """The slice in view: "Axial 34, S 27 mm"."""
        volume, plane = self.head(), placement.plane_of(self.viewer.dims)
        if volume is not None and placement.in_3d(self.viewer.dims):
            return IN_3D
        if volume is None or plane is None:
            return ""
        stacked = 3 - sum(plane)  # a world axis; the canonical axes are in the opposite order
        axis = 2 - stacked
        mm = float(placement.frame_mm(volume.kind, self.viewer.dims.point)[axis])
        number = self.ruler_of(volume, axis).number(mm)
        return f"{PLANES[stacked].capitalize()} {number}, {along(axis, mm, volume.oblique, volume.side_known)}"

    def say(self, note: str) -> None:
        """Show a note where the convention stands; an empty one shows the convention again."""
        self.note = note
        self.refresh()

    def _on_angles(self) -> None:
        if self.viewer.dims.ndisplay == 3:
            self.refresh()

    def refresh(self) -> None:
        """Write them anew."""
        at = self.at()
        if at is None:
            shown = dict.fromkeys((*PLACES, "words"), "")
        else:
            flat = self.viewer.dims.ndisplay == 2
            words = in_words(self.slice_in_words(), at) if flat else self.slice_in_words()
            shown = {**at._asdict(), "words": self.note or words}
        for name, text in shown.items():
            overlay = self.viewer.canvas.overlays[f"vqad_{name}"]
            overlay.text = text
            overlay.visible = bool(text)


def _own_ruler(volume: Volume, axis: int) -> Ruler:
    return ruler(axis, volume.kind, volume.frame)
