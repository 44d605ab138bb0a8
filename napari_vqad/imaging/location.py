"""Where something lies in a patient: on which side, how far from the midline, and where in the scanner.

Left and right are told from the head, and not from the scanner's coordinates, whose zero may be anywhere, such as in a
corner of the picture. In an aligned head the midline is the template's. Where there is no template, or the alignment
failed, right and left are the scanner's directions from the middle between the brain mask's sides, and unknown where
the picture cuts the mask.
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
MIDLINE = 5.0  # mm; what has its middle nearer to the midline is on neither side

Mm = tuple[float, float, float]


class Location(NamedTuple):
    """Where a piece of the grid lies.

    Attributes:
        side: the patient's, by where its middle is; "both" where it reaches out on either side; "unknown" where the
            scan does not say which side is right.
        centre: scanner mm (R, A, S) of the voxel given as its middle.
        head: the same with R in mm from the head's midline, in mm of the scan.
        reach: scanner mm (S) of its lowest and its highest voxel.
    """

    side: Side
    centre: Mm
    head: Mm
    reach: tuple[float, float]


@dataclass(frozen=True)
class Locator:
    """Locates what lies on the grid of a scan. Its maps are affine and made once: there may be thousands of pieces.

    Attributes:
        to_mm: indices of the grid (…, 3) → scanner mm (R, A, S).
        to_right: indices of the grid → mm from the midline to the patient's right.
        side_known: the scan says which side is right.
    """

    to_mm: _Affine
    to_right: _Affine
    side_known: bool

    @classmethod
    def of(cls, volume: Volume, grid: Grid) -> Locator:
        """The one of a scan and its grid."""
        middle, mm = _midline(grid), np.linalg.norm(grid.placement[:3, 0])
        to_right = _Affine.of(lambda index: (grid.axes_index(index)[:, :1] - middle) * mm)
        # A head that could not be aligned has no midline to go by, unless the picture holds all of its mask across.
        cut = grid.failed and any(axis == 0 for axis, _ in cut_faces(grid.stack_to_ras(grid.mask)))
        return cls(_Affine.of(lambda index: scanner_mm(volume, grid, index)), to_right, volume.side_known and not cut)

    def locate(self, indices: NDArray, middle: NDArray) -> Location:
        """Where a piece lies: indices (voxels, 3) of the grid, and that of the voxel that is its middle."""
        height, right = self.to_mm(indices)[:, 2], self.to_right(indices)[:, 0]
        r, a, s = (float(v) for v in self.to_mm(middle))
        head = (float(self.to_right(middle)[0]), a, s)
        side = _side(right) if self.side_known else "unknown"
        return Location(side, (r, a, s), head, (float(height.min()), float(height.max())))

    def words(self, index: NDArray) -> str:
        """A point, index (3,) of the grid, in the words of a finding's centre."""
        _, a, s = (float(v) for v in self.to_mm(index))
        return in_words((float(self.to_right(index)[0]), a, s), self.side_known)


def in_words(mm: Iterable[float], known: bool = True) -> str:
    """mm (R, A, S) as the sides that they lie on: (−32, 10, 55) is "L 32 A 10 S 55 mm"; "L? 32 …" if not `known`."""
    words = " ".join(side_label(axis, v, known) for axis, v in enumerate(mm))
    return f"{words} mm"


def scanner_mm(volume: Volume, grid: Grid, index: NDArray) -> NDArray:
    """(…, 3) indices of the grid (slice, row, column) → scanner mm (R, A, S), along oblique axes, too."""
    affine = volume.affine @ np.linalg.inv(volume.frame.to_mm) @ grid.placement
    return grid.axes_index(index) @ affine[:3, :3].T + affine[:3, 3]


class _Affine(NamedTuple):
    """An affine map of grid indices, as what it makes of the first voxel and of a step along each axis."""

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
    """Index along the grid's axis to the right: the template's middle, or that between the mask's sides."""
    if grid.aligned and not grid.failed:
        return (grid.stack_to_ras(grid.mask).shape[0] - 1) / 2
    r = grid.axes_index(np.argwhere(grid.mask))[:, 0]
    return float((r.min() + r.max()) / 2)
