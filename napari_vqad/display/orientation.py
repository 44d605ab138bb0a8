"""The orientation of a slice in a picture, and the side of the patient at each edge of a picture.

World axes are −(S, A, R), as in `ui.layers.placement`. The letters come from the scan's own axes, so they are correct
for oblique scans, too: "R" means to the patient's right; "RA" means to the right and, by more than about fifteen
degrees, to the front.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from napari_vqad.imaging.volume import SIDES, Volume

ASIDE = 0.25  # fraction of a direction's length; a larger component along an axis adds a letter


def upright(slice_: np.ndarray) -> np.ndarray:
    """Turn a grid slice to radiological convention: anterior (or superior) up, the patient's right on the left."""
    return np.asarray(slice_).T[::-1, ::-1]


class Edges(NamedTuple):
    """The letters at the edges of a picture."""

    left: str
    right: str
    top: str
    bottom: str


def letters(direction: Iterable[float]) -> str:
    """Letters of a direction in scanner (R, A, S), the nearest axis first: (0.9, 0.4, 0) is "RA"."""
    d = np.asarray(list(direction), float)
    d = d / np.linalg.norm(d)
    order = np.argsort(-np.abs(d), kind="stable")
    return "".join(SIDES[i][int(d[i] < 0)] for n, i in enumerate(order) if not n or abs(d[i]) > ASIDE)


def edges(volume: Volume, rows: int, columns: int, orientation: tuple[str, str]) -> Edges:
    """The letters at the edges of a picture of a scan, with "?" if the orientation of the head is not known.

    Args:
        volume: the scan.
        rows, columns: the world axes (0 to 2) that run down and across the picture.
        orientation: the directions of these axes, "down" or "up" and "right" or "left", as in napari's camera.
    """
    # World axes are opposite to canonical axes: if a world axis runs right, its canonical axis points left.
    up = volume.affine[:3, 2 - rows] * (1 if orientation[0] == "down" else -1)
    left = volume.affine[:3, 2 - columns] * (1 if orientation[1] == "right" else -1)
    doubt = "" if volume.side_known else "?"
    return Edges(*(letters(direction) + doubt for direction in (left, -left, up, -up)))


def with_convention(slice_: str, at: Edges) -> str:
    """The text for a slice with the convention on a second line: radiological if the patient's right is on the left."""
    known = {at.left[0]: "radiological", at.right[0]: "neurological"}.get("R")
    known = "sides not known" if "?" in at.left else known
    return f"{slice_}\n{known}" if known else slice_


def edges_3d(volume: Volume, view: Iterable[float], up: Iterable[float]) -> Edges:
    """The letters at the edges of a 3D view of a scan.

    Args:
        volume: the scan.
        view, up: the camera's directions in the world, −(S, A, R): away from the viewer, and up on the screen.
    """
    # The world axes in this order are right-handed, as (R, A, S) are.
    view, up = np.asarray(list(view), float), np.asarray(list(up), float)
    steps = volume.affine[:3, :3] / volume.spacing
    right_, top = (steps @ -w[::-1] for w in (np.cross(view, up), up))
    doubt = "" if volume.side_known else "?"
    return Edges(*(letters(direction) + doubt for direction in (-right_, right_, top, -top)))
