"""Locates findings in the patient: side, distance from the midline, and scanner coordinates.

The side is measured from the head's midline, not from the scanner's zero, which may be anywhere, such as in a corner of
the picture. In an aligned head the midline is the template's. Without a template, or if the alignment failed, the
midline is the middle between the brain mask's right and left ends. If the alignment failed and the picture cuts the
mask at the right or left, the side is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.imaging.field_of_view import cut_faces
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.volume import Volume, side_label

Side = Literal["right", "left", "midline", "both", "unknown"]
MIDLINE = 5.0  # mm; a piece whose middle is closer to the midline is on neither side

Mm = tuple[float, float, float]


class Location(NamedTuple):
    """Location of a piece of the grid.

    Attributes:
        side: the patient's side, from the mean over the piece's voxels; "both" if the piece reaches more than `MIDLINE`
            mm to either side of the midline; "unknown" if the scan does not say which side is right.
        centre: scanner mm (R, A, S) of the voxel given as its middle.
        head: the same, but R in mm of the scan from the head's midline.
        reach: scanner mm (S) of its lowest and its highest voxel.
    """

    side: Side
    centre: Mm
    head: Mm
    reach: tuple[float, float]


@dataclass(frozen=True)
class Locator:
    """Locates pieces of a scan's grid. Its affine maps are computed once, since there may be thousands of pieces.

    Attributes:
        to_mm: indices of the grid (…, 3) → scanner mm (R, A, S).
        to_right: indices of the grid → mm from the midline to the patient's right.
        side_known: False if the patient's right and left cannot be told apart.
    """

    to_mm: _Affine
    to_right: _Affine
    side_known: bool

    @classmethod
    def of(cls, volume: Volume, grid: Grid) -> Locator:
        """Make the locator of a scan and its grid."""
        middle, mm = _midline(grid), np.linalg.norm(grid.placement[:3, 0])
        to_right = _Affine.of(lambda index: (grid.axes_index(index)[:, :1] - middle) * mm)
        # If the alignment failed, the mask gives a midline only if the picture does not cut it at the right or left.
        cut = grid.failed and any(axis == 0 for axis, _ in cut_faces(grid.stack_to_ras(grid.mask)))
        return cls(_Affine.of(lambda index: scanner_mm(volume, grid, index)), to_right, volume.side_known and not cut)

    def locate(self, indices: NDArray, middle: NDArray) -> Location:
        """Locate a piece from the grid indices of its voxels, (n, 3), and of its middle voxel, (3,)."""
        height, right = self.to_mm(indices)[:, 2], self.to_right(indices)[:, 0]
        r, a, s = (float(v) for v in self.to_mm(middle))
        head = (float(self.to_right(middle)[0]), a, s)
        side = _side(right) if self.side_known else "unknown"
        return Location(side, (r, a, s), head, (float(height.min()), float(height.max())))

    def words(self, index: NDArray) -> str:
        """Describe the location of a grid index (3,) in the same words as a finding's centre."""
        _, a, s = (float(v) for v in self.to_mm(index))
        return in_words((float(self.to_right(index)[0]), a, s), self.side_known)


def in_words(mm: Iterable[float], known: bool = True) -> str:
    """Describe mm (R, A, S) by side letters: (−32, 10, 55) is "L 32 A 10 S 55 mm"; "L? 32 …" if not `known`."""
    words = " ".join(side_label(axis, v, known) for axis, v in enumerate(mm))
    return f"{words} mm"


def scanner_mm(volume: Volume, grid: Grid, index: NDArray) -> NDArray:
    """Convert grid indices (…, 3), (slice, row, column), to scanner mm (R, A, S); oblique axes are allowed."""
    affine = volume.affine @ np.linalg.inv(volume.frame.to_mm) @ grid.placement
    return grid.axes_index(index) @ affine[:3, :3].T + affine[:3, 3]


class _Affine(NamedTuple):
    """An affine map of grid indices: its value at index 0, and its change per step along each axis."""

    origin: NDArray
    steps: NDArray

    @classmethod
    def of(cls, made: Callable[[NDArray], NDArray]) -> _Affine:
        origin = made(np.zeros((1, 3)))
        return cls(origin[0], made(np.eye(3)) - origin)

    def __call__(self, index: NDArray) -> NDArray:
        return self.origin + index @ self.steps


def _side(right: NDArray) -> Side:
    if right.min() < -MIDLINE and right.max() > MIDLINE:
        return "both"
    middle = right.mean()
    return "midline" if abs(middle) < MIDLINE else "right" if middle > 0 else "left"


def _midline(grid: Grid) -> float:
    """Return the midline's index along the R axis: the template's middle, or the middle between the mask's ends."""
    if grid.aligned and not grid.failed:
        return (grid.stack_to_ras(grid.mask).shape[0] - 1) / 2
    r = grid.axes_index(np.argwhere(grid.mask))[:, 0]
    return float((r.min() + r.max()) / 2)
