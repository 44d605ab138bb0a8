"""Which way slices run, and how they are numbered: the convention, written once for viewer, lists, report and files.

* **Direction.** A head is read from its top down, from its front to its back, and from the patient's right to the left.
  napari's slider runs that way from left to right, and so do → and ←, the keys for the next and the previous flagged
  slice, the profile of the scores, and the rows of the contact sheet. A clip runs from its first frame to its last.
* **Number.** A slice has the number that napari's slider shows for it: 0 is the scan's first slice in that direction,
  and a step is that of the scan's own slices, or of the maps where the scan's are thicker.
* **Place.** Beside the number stands the place in mm, since a number alone means nothing in another program.

Arrays keep the order of the model's grid, which grows to Superior, Anterior and Right: `numbers` says which is which.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.resample import VoxelGrid
from napari_vqad.imaging.volume import Kind


class Ruler(NamedTuple):
    """How slices along an axis are numbered: mm of slice 0, and mm from a slice to the next, below zero for a head."""

    first: float
    step: float

    def number(self, mm: float | NDArray) -> NDArray[np.intp]:
        """The number of the slice that is nearest to a coordinate along the axis, mm of the scan's diagonal frame."""
        return np.rint((np.asarray(mm, float) - self.first) / self.step).astype(int)


def ruler(axis: int, kind: Kind, *frames: VoxelGrid) -> Ruler:
    """The ruler along a canonical axis, as napari makes its slider of layers on these voxels."""
    step = min(float(np.broadcast_to(f.spacing, 3)[axis]) for f in frames)
    first = [float(f.origin[axis]) for f in frames]
    if kind == "clip":
        return Ruler(min(first), step)
    spacing = (float(np.broadcast_to(f.spacing, 3)[axis]) for f in frames)
    last = [o + s * (f.shape[axis] - 1) for o, s, f in zip(first, spacing, frames, strict=True)]
    return Ruler(max(last), -step)


def numbers(grid: Grid) -> NDArray[np.intp]:
    """The number of each slice of a grid, (n,).

    The middle of a tilted slice may lie beyond the picture; it has the number of the slider's end.
    """
    at, frames = ruler(grid.axis, grid.kind, grid.scan, grid.view), (grid.scan, grid.view)
    ends = [f.origin[grid.axis] + np.broadcast_to(f.spacing, 3)[grid.axis] * (f.shape[grid.axis] - 1) for f in frames]
    last = at.number(np.array([*(f.origin[grid.axis] for f in frames), *ends])).max()
    return at.number(np.array([grid.slice_mm(i) for i in range(len(grid))])).clip(0, last)


def reading_order(grid: Grid) -> NDArray[np.intp]:
    """Indices of a grid's slices in the order in which they are read, (n,)."""
    indices = np.arange(len(grid))
    return indices if grid.kind == "clip" else indices[::-1]


def span(grid: Grid, slices: tuple[int, int]) -> tuple[int, int]:
    """The numbers of the first and the last of the slices between two indices of the grid, both included."""
    found = numbers(grid)[list(slices)]
    return int(found.min()), int(found.max())


def following(grid: Grid, now: int, among: NDArray, step: int) -> int | None:
    """Of some slices, the next (1) or the previous (−1) one after `now`, round the end; None where there is none.

    `now`, `among` and what is returned are indices of the grid. Two slices that share a number count as one: the slider
    cannot stop at both.
    """
    if not len(among):
        return None
    number, here = numbers(grid)[among], numbers(grid)[now]
    order = np.argsort(step * number, kind="stable")
    beyond = order[step * number[order] > step * here]
    return int(among[beyond[0] if len(beyond) else order[0]])
