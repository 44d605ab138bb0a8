"""Where the picture ends inside the head: the faces of a scan that cut a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Of the largest cross-section along the axis; less lies on the face of a picture that is cropped to the brain, or
# holds the brain down to the brain stem.
TOUCHES = 0.08

FACES = (("left", "right"), ("back", "front"), ("bottom", "top"))


def cut_faces(mask: NDArray[np.bool_], least: float = TOUCHES) -> list[tuple[int, bool]]:
    """Faces of the picture that cut a mask, as (axis, whether it is the upper end of the axis).

    Args:
        mask: bool (R, A, S).
        least: share of the mask's largest cross-section along the axis that must lie on the face.
    """
    found = []
    for axis in range(3):
        area = mask.sum(tuple(a for a in range(3) if a != axis))
        found += [(axis, upper) for upper in (False, True) if area[-1 if upper else 0] > least * area.max()]
    return found


def in_words(faces: list[tuple[int, bool]]) -> str:
    """Faces as a person calls them: "top" or "left and front"."""
    return " and ".join(FACES[axis][int(upper)] for axis, upper in faces)
