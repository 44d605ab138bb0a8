"""The voxels of the canvas, and maps resampled to them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_vqad.imaging.resample import VoxelGrid, within
from napari_vqad.imaging.volume import Volume

Between = Literal["nearest", "linear", "inside"]
MOST = 2**24  # voxels of a canvas, 256³: more are no finer on 340 pixels, and slow to send and to draw


class CanvasVoxels:
    """The voxels of a scan that the canvas shows: all of them, or every second or fourth of a very large scan.

    Attributes:
        step: how many voxels of the scan along each axis for one of the canvas, (3,).
        shape: number of voxels of the canvas along each canonical axis.
        affine: 4×4, voxel of the canvas → scanner mm.
        frame: the same voxels in mm of the scan's diagonal frame.
    """

    def __init__(self, volume: Volume, most: int = MOST) -> None:
        size, spacing = np.array(volume.voxels.shape), np.asarray(volume.spacing, float)
        self.step = np.ones(3, int)
        while np.prod(np.ceil(size / self.step)) > most:
            self.step[np.argmin(self.step * spacing)] *= 2  # along the axis with the finest voxels
        self.shape: tuple[int, ...] = tuple(int(n) for n in -(-size // self.step))
        self.affine = volume.affine @ np.diag([*self.step, 1.0])
        self.frame = VoxelGrid(np.asarray(volume.origin, float), spacing * self.step, self.shape)

    def of(self, voxels: NDArray) -> NDArray:
        """The voxels of the canvas among those of the scan, (R, A, S)."""
        return voxels[tuple(slice(None, None, int(n)) for n in self.step)]

    def index(self, frac: NDArray) -> NDArray:
        """Position in the canvas, 0 to 1 along each axis (3,) → canonical voxel index of the scan (3,)."""
        return (np.asarray(frac, float) * self.shape - 0.5) * self.step

    def frac(self, index: NDArray) -> NDArray:
        """Invert `index`."""
        return (np.asarray(index, float) / self.step + 0.5) / self.shape


class Placement:
    """Resamples pictures from a grid's view to the canvas, axis by axis: both have the axes of the scan."""

    def __init__(self, view: VoxelGrid, canvas: VoxelGrid) -> None:
        self._shape = canvas.shape[::-1]  # NiiVue's arrays are (S, A, R) in C order, and so are those in here
        self._first, self._at = (
            [],
            [],
        )  # along each axis: the first voxel of the canvas in the view; indices in the view
        for a, inside in reversed(list(enumerate(within(view, canvas)))):
            found = np.flatnonzero(inside)
            mm = canvas.origin[a] + canvas.spacing[a] * found
            self._first.append(int(found[0]) if len(found) else 0)
            self._at.append(np.clip((mm - view.origin[a]) / view.spacing[a], 0, view.shape[a] - 1))

    def __call__(self, steps: NDArray[np.uint8], between: Between) -> NDArray[np.uint8]:
        """Resample a picture.

        Args:
            steps: (R, A, S) on the view.
            between: the colour of a voxel of the canvas between voxels of the view: that of the nearest one; "linear"
                interpolates; "inside" interpolates among the voxels with a colour, and the nearest one says whether
                there is a colour.

        Returns:
            The voxels of the canvas in one row, the first axis fastest; 0 beyond the view.
        """
        found, picture = np.zeros(self._shape, np.uint8), steps.T
        box, axes = [], []
        for a, (first, at) in enumerate(zip(self._first, self._at, strict=True)):
            used = np.flatnonzero(picture.any(tuple({0, 1, 2} - {a})))
            if not len(used):
                return found.ravel()
            ends = np.searchsorted(at, (used[0] - 1, used[-1] + 1), side="left")  # beyond, nothing has a colour
            box.append(slice(first + int(ends[0]), first + int(ends[1])))
            axes.append(at[ends[0] : ends[1]])
        if between == "nearest":
            found[tuple(box)] = _nearest(picture, axes)
        elif between == "linear":
            found[tuple(box)] = _linear(picture, axes) + np.float32(0.5)
        else:
            there = picture > 0
            grey = _linear(picture, axes) / np.maximum(_linear(there, axes), np.float32(1e-3))
            found[tuple(box)] = np.where(_nearest(there, axes), grey + np.float32(0.5), 0)
        return found.ravel()


def _nearest(picture: NDArray, axes: list[NDArray]) -> NDArray:
    return picture[np.ix_(*(np.floor(at + 0.5).astype(int) for at in axes))]


def _linear(picture: NDArray, axes: list[NDArray]) -> NDArray[np.float32]:
    """Interpolate at the indices of each axis."""
    for a, at in enumerate(axes):
        low = np.minimum(np.floor(at).astype(int), max(picture.shape[a] - 2, 0))
        below = picture.take(low, a).astype(np.float32, copy=False)
        above = picture.take(np.minimum(low + 1, picture.shape[a] - 1), a)
        picture = below + (above - below) * (at - low).astype(np.float32)[(slice(None),) + (None,) * (2 - a)]
    return picture
