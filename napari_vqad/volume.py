"""A scan as the model sees it: canonical orientation, the model's grid of slices, and exactly back.

Three frames, all diagonal, so that a map and its scan can never be sheared against each other:

* the **file**: whatever axis order, sign and obliqueness the scanner wrote;
* the **canonical** array: the same voxels, axes flipped and swapped so that indices grow to the patient's Right,
  Anterior and Superior (nothing is interpolated; obliqueness stays in the affine);
* the **grid**: isotropic slices of the model's size, centred on the brain mask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from scipy import ndimage

from napari_vqad.errors import InputError

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


@dataclass(frozen=True)
class Volume:
    """A 3D scan in canonical (R, A, S) order.

    Attributes:
        voxels: float32 (R, A, S), finite.
        affine: 4×4, canonical voxel index → scanner mm.
        file_affine: 4×4 of the array as it is in the file.
        name: what to call it on screen.
        path: where it came from, None for an array.
        header: the file's header, kept so that maps are written back with it.
        notes: what was done to the voxels on reading, in sentences for the person.
    """

    voxels: np.ndarray
    affine: np.ndarray
    file_affine: np.ndarray
    name: str = "scan"
    path: Path | None = None
    header: Any = field(default=None, repr=False)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_array(cls, array: np.ndarray, affine: np.ndarray, **about: Any) -> Volume:
        """Reorder an array of any axis order and sign to canonical axes; nothing is interpolated."""
        affine = np.asarray(affine, float)
        orientation = io_orientation(affine)
        if np.isnan(orientation).any():
            raise InputError(f"{about.get('name', 'The scan')} has an affine that leaves an axis without a direction.")
        voxels = np.ascontiguousarray(apply_orientation(array, orientation), dtype=np.float32)
        canonical = affine @ inv_ornt_aff(orientation, array.shape)
        return cls(voxels, canonical, affine, **about)

    @cached_property
    def spacing(self) -> np.ndarray:
        """Voxel size along R, A, S in mm."""
        return np.sqrt((self.affine[:3, :3] ** 2).sum(0))

    @cached_property
    def origin(self) -> np.ndarray:
        """Scanner mm of the first canonical voxel."""
        return self.affine[:3, 3]

    @property
    def axcodes(self) -> tuple[str, ...]:
        """The file's axis directions, such as ('P', 'S', 'R')."""
        return aff2axcodes(self.file_affine)

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """A canonical array back in the axis order and signs of the file; exact."""
        back = ornt_transform(io_orientation(self.affine), io_orientation(self.file_affine))
        return np.asarray(apply_orientation(array, back))


@dataclass(frozen=True)
class GridSpec:
    """The grid a model was trained on.

    Attributes:
        shape: in-plane size of a slice, in the order of the two in-plane canonical axes.
        spacing: mm, isotropic.
        background: value outside the mask, in SD; close to CSF, so that the brain's edge is no cliff.
        clip: lowest and highest z-score that the model sees.
    """

    shape: tuple[int, int] = (80, 104)
    spacing: float = 2.0
    background: float = -2.0
    clip: tuple[float, float] = (-3.0, 4.0)


@dataclass(frozen=True)
class Grid:
    """A scan on a model's grid.

    Attributes:
        slices: float32 (n, H, W), z-scored within the mask, background outside it.
        mask: bool (n, H, W).
        position: float32 (n,), −0.5 at the lowest and 0.5 at the highest slice of the mask.
        axis: canonical axis that the slices are stacked along.
        spacing: mm.
        origin: mm (R, A, S) of the grid's first voxel, in the scan's diagonal frame.
        scan_shape, scan_spacing, scan_origin: the canonical scan it came from.
        outside: share of the mask's voxels that lie beyond the grid, 0 to 1.
    """

    slices: np.ndarray
    mask: np.ndarray
    position: np.ndarray
    axis: int
    spacing: float
    origin: np.ndarray
    scan_shape: tuple[int, ...]
    scan_spacing: np.ndarray
    scan_origin: np.ndarray
    outside: float = 0.0

    def __len__(self) -> int:
        return len(self.slices)

    def to_axes(self, stack: np.ndarray) -> np.ndarray:
        """(n, H, W) of the grid as a view with canonical axes (R, A, S)."""
        return np.moveaxis(stack, 0, self.axis)

    def to_scan(self, stack: np.ndarray, order: int = 1) -> np.ndarray:
        """A map of the grid, (n, H, W), resampled to the canonical voxels of the scan.

        Zero beyond the grid, which ends half a voxel past its last centres. `order` 0 for labels. Exact where grid
        and scan have the same spacing, since the grid is laid on the scan's voxel centres.
        """
        stack = np.asarray(stack)
        on_axes = self.to_axes(stack.astype(np.float32))
        grid = _Frame(self.origin, np.full(3, self.spacing), on_axes.shape)
        scan = _Frame(self.scan_origin, self.scan_spacing, self.scan_shape)
        return _resample(on_axes, grid, scan, order=order, cval=0.0).astype(stack.dtype if order == 0 else np.float32)

    def slice_of(self, mm: float) -> int:
        """The slice at a coordinate in mm along the stacking axis."""
        index = round((mm - self.origin[self.axis]) / self.spacing)
        return int(np.clip(index, 0, len(self) - 1))


def to_grid(volume: Volume, mask: np.ndarray, spec: GridSpec, axis: str = "axial") -> Grid:
    """Lay a scan on the model's grid.

    Args:
        volume: the scan.
        mask: bool (R, A, S), the brain, on the scan's canonical voxels.
        spec: the model's grid.
        axis: stacking direction, one of `AXES`.

    Raises:
        InputError: the mask has another shape, or no voxels, or the scan is constant within it.
    """
    mask = np.asarray(mask, bool)
    if mask.shape != volume.voxels.shape:
        raise InputError(
            f"The mask has the shape {mask.shape} and {volume.name} has {volume.voxels.shape} (right, anterior, "
            "superior); they must agree."
        )
    if not mask.any():
        raise InputError(f"The mask of {volume.name} has no voxels.")
    inside = volume.voxels[mask]
    mean, sd = float(inside.mean()), float(inside.std())
    if not sd > 1e-6 * max(1.0, abs(mean)):
        raise InputError(f"{volume.name} has one single value within its mask.")

    stack = AXES[axis]
    plane = [a for a in range(3) if a != stack]
    bounds = [np.flatnonzero(mask.any(tuple(b for b in range(3) if b != a)))[[0, -1]] for a in range(3)]

    # The grid's centre sits on a voxel centre of the scan, so that equal spacings need no interpolation.
    shape, origin = np.zeros(3, int), np.zeros(3)
    for a, size in zip(plane, spec.shape, strict=True):
        shape[a] = size
        centre = volume.origin[a] + volume.spacing[a] * (bounds[a].sum() // 2)
        origin[a] = centre - spec.spacing * (size // 2)
    low, high = (volume.origin[stack] + volume.spacing[stack] * b for b in bounds[stack])
    # To the nearest slice, halves down: the mask's last voxel lies within half a slice of the grid's.
    shape[stack] = int(np.ceil((high - low) / spec.spacing - 0.5 - 1e-6)) + 1
    origin[stack] = low

    target = _Frame(origin, np.full(3, spec.spacing), tuple(int(n) for n in shape))
    source = _Frame(volume.origin, volume.spacing, mask.shape)
    z_scored = np.where(mask, (volume.voxels - mean) / sd, spec.background).astype(np.float32)
    voxels = _resample(z_scored, source, target, order=1, cval=spec.background)
    on_grid = _resample(mask.astype(np.float32), source, target, order=1, cval=0.0) >= 0.5
    voxels = np.where(on_grid, np.clip(voxels, *spec.clip), spec.background).astype(np.float32)

    n = int(shape[stack])
    reached = mask[np.ix_(*_within(target, source))].sum()
    return Grid(
        slices=np.ascontiguousarray(np.moveaxis(voxels, stack, 0)),
        mask=np.ascontiguousarray(np.moveaxis(on_grid, stack, 0)),
        position=np.linspace(-0.5, 0.5, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32),
        axis=stack,
        spacing=spec.spacing,
        origin=origin,
        scan_shape=volume.voxels.shape,
        scan_spacing=volume.spacing,
        scan_origin=volume.origin,
        outside=float(1.0 - reached / mask.sum()),
    )


class _Frame(NamedTuple):
    """Voxels along canonical axes: mm of the first one, their size in mm, and how many."""

    origin: np.ndarray
    spacing: np.ndarray
    shape: tuple[int, ...]


def _resample(array: np.ndarray, source: _Frame, target: _Frame, *, order: int, cval: float) -> np.ndarray:
    """Resample between two diagonal frames; a finer source is smoothed first, so that nothing aliases."""
    step = target.spacing / source.spacing
    if order > 0 and (step > 1.01).any():
        # FWHM of the output voxel: sigma = sqrt(step² − 1) / 2.355 in source voxels.
        sigma = np.sqrt(np.maximum(step**2 - 1.0, 0.0)) / 2.355
        array = ndimage.gaussian_filter(array, sigma, mode="nearest")
    offset = (target.origin - source.origin) / source.spacing
    # scipy's own `constant` ends a picture at its last voxel *centre*, and rounding may lose that one, too.
    found = ndimage.affine_transform(array, step, offset=offset, output_shape=target.shape, order=order, mode="nearest")
    for axis, within in enumerate(_within(source, target)):
        np.moveaxis(found, axis, 0)[~within] = cval
    return found


def _within(source: _Frame, target: _Frame) -> list[np.ndarray]:
    """Per axis, which voxel centres of the target lie in a voxel of the source."""
    found = []
    for a in range(3):
        mm = target.origin[a] + target.spacing[a] * np.arange(target.shape[a])
        index = (mm - source.origin[a]) / source.spacing[a]
        found.append((index >= -0.5 - 1e-6) & (index <= source.shape[a] - 0.5 + 1e-6))
    return found
