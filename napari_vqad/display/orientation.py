"""How a slice lies in a picture, and which side of the patient each edge of a picture is.

World axes are −(S, A, R), as in `frame`; the letters are of the scan's own axes, so that they are right for oblique
scans, too: "R" is to the patient's right, "RA" to the right and, by more than about fifteen degrees, to the front.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from napari_vqad.imaging.volume import SIDES, Volume

ASIDE = 0.25  # of a direction's length; as much to the side as this gets a letter of its own


def upright(slice_: np.ndarray) -> np.ndarray:
    """A grid slice in radiological convention: anterior (or superior) up, the patient's right on the left."""
    return np.asarray(slice_).T[::-1, ::-1]


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


def with_convention(slice_: str, at: Edges) -> str:
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
