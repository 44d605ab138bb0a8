"""Resampling between voxel grids, along the axes or through an affine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage


class VoxelGrid(NamedTuple):
    """Voxels along canonical axes: position of the first in mm, voxel size in mm, and number along each axis."""

    origin: np.ndarray
    spacing: np.ndarray
    shape: tuple[int, ...]

    @property
    def to_mm(self) -> np.ndarray:
        """4×4, voxel index → mm."""
        affine = np.diag([*np.broadcast_to(self.spacing, 3), 1.0])
        affine[:3, 3] = self.origin
        return affine


def resample_diagonal(
    array: np.ndarray, source: VoxelGrid, target: VoxelGrid, *, order: int, cval: float
) -> np.ndarray:
    """Resample between two voxel grids; a finer source is smoothed first to avoid aliasing."""
    step = target.spacing / source.spacing
    if order > 0:
        array = smoothed(array, step)
    offset = (target.origin - source.origin) / source.spacing
    # With mode="constant", scipy ends a picture at its last voxel *centre*, and rounding may drop even that one.
    found = ndimage.affine_transform(array, step, offset=offset, output_shape=target.shape, order=order, mode="nearest")
    for axis, inside in enumerate(within(source, target)):
        np.moveaxis(found, axis, 0)[~inside] = cval
    return found


def resample_affine(array: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], *, order: int) -> np.ndarray:
    """Resample through a 4×4 from target indices to `array` indices; zero beyond the voxels of `array`."""
    if order > 0:
        array = smoothed(array, np.sqrt((affine[:3, :3] ** 2).sum(1)))
    # Pad with zeros, so that the picture ends half a voxel beyond its last voxel centres, not at them.
    padded, offset = np.pad(array, 1), affine[:3, 3] + 1
    return ndimage.affine_transform(padded, affine[:3, :3], offset, output_shape=shape, order=order, mode="constant")


def within(source: VoxelGrid, target: VoxelGrid) -> list[np.ndarray]:
    """Mask, for each axis, the target voxel centres that lie in a voxel of the source."""
    found = []
    for a in range(3):
        mm = target.origin[a] + target.spacing[a] * np.arange(target.shape[a])
        index = (mm - source.origin[a]) / source.spacing[a]
        found.append((index >= -0.5 - 1e-6) & (index <= source.shape[a] - 0.5 + 1e-6))
    return found


def smoothed(array: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Smooth to output voxels of `step` source voxels: FWHM = sqrt(step² − 1), so sigma = sqrt(step² − 1) / 2.355."""
    if not (step > 1.01).any():
        return array
    return ndimage.gaussian_filter(array, np.sqrt(np.maximum(step**2 - 1.0, 0.0)) / 2.355, mode="nearest")
