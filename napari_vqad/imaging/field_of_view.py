"""Finds the faces of a scan that cut the head or brain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Share of the largest cross-section along the axis. The share is smaller if the picture is cropped to the brain, or
# if it includes the brain down to the brain stem.
TOUCHES = 0.08

FACES = (("left", "right"), ("back", "front"), ("bottom", "top"))


def cut_faces(mask: NDArray[np.bool_], least: float = TOUCHES) -> list[tuple[int, bool]]:
    """List the faces of the picture that cut a mask, as (axis, True for the upper end of the axis).

    Args:
        mask: bool (R, A, S).
        least: a face cuts the mask if more than this share of the largest cross-section along the axis lies on it.
    """
    found = []
    for axis in range(3):
        area = mask.sum(tuple(a for a in range(3) if a != axis))
        found += [(axis, upper) for upper in (False, True) if area[-1 if upper else 0] > least * area.max()]
    return found


def in_words(faces: list[tuple[int, bool]]) -> str:
    """Name faces for the user: "top" or "left and front"."""
    return " and ".join(FACES[axis][int(upper)] for axis, upper in faces)
