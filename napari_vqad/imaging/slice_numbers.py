"""Direction and numbering of slices, the same in the viewer, the lists, the report and the files.

* **Direction.** A head is read from its top down, from its front to its back, and from the patient's right to the left.
  napari's slider follows this direction, and so do → and ←, the keys for the next and the previous flagged slice, the
  profile of the scores, and the rows of the contact sheet. A clip runs from its first frame to its last.
* **Number.** A slice has the number that napari's slider shows for it: 0 is the scan's first slice in that direction.
  One step is one slice of the scan, or of the maps if the scan's slices are thicker.
* **Position.** The position in mm is shown beside the number, since other programs number slices differently.

Arrays keep the order of the model's grid, which runs to Superior, Anterior and Right; `numbers` gives each slice's
number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.resample import VoxelGrid
from napari_vqad.imaging.volume import Kind


class Ruler(NamedTuple):
    """Numbering of slices along an axis: mm of slice 0, and mm from a slice to the next, negative for a head."""

    first: float
    step: float

    def number(self, mm: float | NDArray) -> NDArray[np.intp]:
        """Return the number of the slice nearest to a coordinate along the axis, mm of the scan's diagonal frame."""
        return np.rint((np.asarray(mm, float) - self.first) / self.step).astype(int)


def ruler(axis: int, kind: Kind, *frames: VoxelGrid) -> Ruler:
    """Number the slices along a canonical axis as napari's slider does for layers on these voxel grids."""
    step = min(float(np.broadcast_to(f.spacing, 3)[axis]) for f in frames)
    first = [float(f.origin[axis]) for f in frames]
    if kind == "clip":
        return Ruler(min(first), step)
    spacing = (float(np.broadcast_to(f.spacing, 3)[axis]) for f in frames)
    last = [o + s * (f.shape[axis] - 1) for o, s, f in zip(first, spacing, frames, strict=True)]
    return Ruler(max(last), -step)


def numbers(grid: Grid) -> NDArray[np.intp]:
    """Return the number of each slice of a grid, (n,).

    The middle of a tilted slice may lie beyond the picture; the slice then has the number at the slider's end.
    """
    at, frames = ruler(grid.axis, grid.kind, grid.scan, grid.view), (grid.scan, grid.view)
    ends = [f.origin[grid.axis] + np.broadcast_to(f.spacing, 3)[grid.axis] * (f.shape[grid.axis] - 1) for f in frames]
    last = at.number(np.array([*(f.origin[grid.axis] for f in frames), *ends])).max()
    return at.number(np.array([grid.slice_mm(i) for i in range(len(grid))])).clip(0, last)


def reading_order(grid: Grid) -> NDArray[np.intp]:
    """Return the indices of a grid's slices in reading order, (n,)."""
    indices = np.arange(len(grid))
    return indices if grid.kind == "clip" else indices[::-1]


def span(grid: Grid, slices: tuple[int, int]) -> tuple[int, int]:
    """Return the lower and the higher slice number of two grid indices."""
    found = numbers(grid)[list(slices)]
    return int(found.min()), int(found.max())


def following(grid: Grid, now: int, among: NDArray, step: int) -> int | None:
    """Return the slice of `among` next to (`step` 1) or before (−1) `now`, wrapping around; None if `among` is empty.

    `now`, `among` and the result are indices of the grid. Slices with the same number count as one, since the slider
    cannot stop at both.
    """
    if not len(among):
        return None
    number, here = numbers(grid)[among], numbers(grid)[now]
    order = np.argsort(step * number, kind="stable")
    beyond = order[step * number[order] > step * here]
    return int(among[beyond[0] if len(beyond) else order[0]])
