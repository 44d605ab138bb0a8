"""From voxels to voxels: along the axes, or through an affine."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage


class VoxelGrid(NamedTuple):
    """Voxels along canonical axes: mm of the first one, their size in mm, and how many."""

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
    """Resample between two diagonal frames; a finer source is smoothed first, so that nothing aliases."""
    step = target.spacing / source.spacing
    if order > 0:
        array = _smoothed(array, step)
    offset = (target.origin - source.origin) / source.spacing
    # scipy's own `constant` ends a picture at its last voxel *centre*, and rounding may lose that one, too.
    found = ndimage.affine_transform(array, step, offset=offset, output_shape=target.shape, order=order, mode="nearest")
    for axis, inside in enumerate(within(source, target)):
        np.moveaxis(found, axis, 0)[~inside] = cval
    return found


def resample_affine(array: np.ndarray, affine: np.ndarray, shape: tuple[int, ...], *, order: int) -> np.ndarray:
    """Resample through a 4×4 that takes indices of the target to indices of `array`; zero beyond its voxels."""
    if order > 0:
        array = _smoothed(array, np.sqrt((affine[:3, :3] ** 2).sum(1)))
    # A margin of zeros, so that a picture ends half a voxel beyond its last centres and not at them.
    padded, offset = np.pad(array, 1), affine[:3, 3] + 1
    return ndimage.affine_transform(padded, affine[:3, :3], offset, output_shape=shape, order=order, mode="constant")


def within(source: VoxelGrid, target: VoxelGrid) -> list[np.ndarray]:
    """Per axis, which voxel centres of the target lie in a voxel of the source."""
    found = []
    for a in range(3):
        mm = target.origin[a] + target.spacing[a] * np.arange(target.shape[a])
        index = (mm - source.origin[a]) / source.spacing[a]
        found.append((index >= -0.5 - 1e-6) & (index <= source.shape[a] - 0.5 + 1e-6))
    return found


def _smoothed(array: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Smooth to the output voxel of `step` source voxels: FWHM, so sigma = sqrt(step² − 1) / 2.355."""
    if not (step > 1.01).any():
        return array
    return ndimage.gaussian_filter(array, np.sqrt(np.maximum(step**2 - 1.0, 0.0)) / 2.355, mode="nearest")
