"""Resamples a scan to a model's grid of slices.

There are four layouts; the model's training data determine which is used:

* **centred**: the grid has the scan's axes and is centred on the brain mask; grey values are z-scored within the mask;
* **aligned**: the grid is the template's, reached by a 12-parameter affine; grey values are harmonised to the template;
* **native**: the scan's own voxels, for models of single voxels of diffusion scans, whose measurements are divided by
  their mean within the mask (Vasilev et al. 2018); the anatomy is z-scored within the mask;
* **clip**: whole frames of a fixed camera, not resampled; grey values are z-scored with the model's mean and SD. All
  frames have position 0, since the model does not use time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_vqad.errors import InputError
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.intensity import IntensityMap, harmonise, linear
from napari_vqad.imaging.measurements import GradientTable, GridMeasurements
from napari_vqad.imaging.registration import align
from napari_vqad.imaging.resample import VoxelGrid, resample_affine, resample_diagonal, within
from napari_vqad.imaging.template import Template
from napari_vqad.imaging.volume import Volume

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


def to_grid(
    volume: Volume, mask: np.ndarray, spec: GridSpec, axis: str = "axial", template: Template | None = None
) -> Grid:
    """Resample a scan to the model's grid.

    Args:
        volume: the scan.
        mask: bool (R, A, S), the brain, on the scan's canonical voxels; all True for a clip.
        spec: the model's grid.
        axis: stacking direction, one of `AXES`; ignored for a clip.
        template: the template, if the model was trained on aligned heads; the axis must then be axial.

    Raises:
        InputError: the model was trained on another kind of scan; the mask has another shape or no voxels; the scan is
            constant within the mask; the axis is not axial for a model with a template; the measurements are not those
            that the model knows, or have a mean of zero.
    """
    check_kind(volume, spec)
    mask = np.asarray(mask, bool)
    if mask.shape != volume.voxels.shape:
        raise InputError(
            f"The mask has the shape {mask.shape} and {volume.name} has {volume.voxels.shape} (right, anterior, "
            "superior); they must agree."
        )
    if spec.grey is not None:
        return _frames(volume, mask, spec, linear(*spec.grey))
    if not mask.any():
        raise InputError(f"The mask of {volume.name} has no voxels.")
    inside = volume.voxels[mask]
    mean, sd = float(inside.mean()), float(inside.std())
    if not sd > 1e-6 * max(1.0, abs(mean)):
        raise InputError(f"{volume.name} has one single value within its mask.")
    if spec.measurements is not None:
        return _native(volume, mask, spec, spec.measurements, AXES[axis], linear(mean, sd))
    if template is None:
        return _centred(volume, mask, spec, AXES[axis], linear(mean, sd))
    if axis != "axial":
        raise InputError(f"This model knows heads that are aligned and cut axially; {axis} slices need another model.")
    return _aligned(volume, mask, spec, template)


def check_kind(volume: Volume, spec: GridSpec) -> None:
    """Check that the model was trained on this kind of scan.

    Raises:
        InputError: the model is for heads and this is a clip, or the other way round; or the model knows diffusion
            measurements, and the scan has none or others.
    """
    if volume.kind != spec.kind:
        raise InputError(
            f"{volume.name} is a {volume.kind}, and the chosen model knows {spec.kind}s alone; choose a model of "
            f"{volume.kind}s."
        )
    if spec.measurements is not None:
        _order(volume, spec.measurements)


def with_measurements(grid: Grid, volume: Volume, mask: np.ndarray, spec: GridSpec) -> Grid:
    """Return a grid that was made before, such as that of a study, with the scan's measurements if the model uses them.

    Raises:
        InputError: as in `to_grid`.
    """
    if spec.measurements is None:
        return grid
    return replace(grid, measurements=_scaled(volume, mask, spec.measurements, grid.axis))


def with_voxels(grid: Grid, volume: Volume, mask: np.ndarray, spec: GridSpec) -> Grid:
    """Return the grid of a scan with the grey values of another one on the same voxels, such as an edited copy.

    Alignment, mask and intensity conversion are kept, so slices whose grey values are the same stay identical.

    Raises:
        InputError: the grid is of a clip, or of diffusion measurements.
    """
    if grid.kind == "clip" or spec.measurements is not None:
        raise InputError("The grey values of a clip or of diffusion measurements cannot be replaced.")
    if grid.aligned:
        shape = grid.stack_to_ras(grid.mask).shape
        voxels, on_grid = _within_mask(volume, mask, grid.placement, shape)
        z_scored = np.where(on_grid, np.clip(grid.intensity.z(voxels), *spec.clip), spec.background)
    else:
        z_scored, _ = _on_centred(volume, mask, spec, grid.intensity, grid.view)
    return replace(grid, slices=np.ascontiguousarray(np.moveaxis(z_scored.astype(np.float32), grid.axis, 0)))


def _order(volume: Volume, known: GradientTable) -> np.ndarray:
    """Find the model's measurements in the scan.

    Raises:
        InputError: the scan has no measurements, or others.
    """
    if volume.measurements is None:
        raise InputError(
            f"{volume.name} is no diffusion scan, and the chosen model knows {len(known)} diffusion measurements of "
            f"each voxel ({known.in_words})."
        )
    try:
        return known.order_of(volume.measurements.gradients)
    except ValueError as error:
        raise InputError(f"{volume.name} has other measurements than the chosen model knows: {error}.") from error


def _scaled(volume: Volume, mask: np.ndarray, known: GradientTable, stack: int) -> GridMeasurements:
    order = _order(volume, known)
    assert volume.measurements is not None
    values = volume.measurements.values
    mean = float(values[mask].mean(dtype=np.float64))
    if not mean > 0:
        raise InputError(f"The measurements of {volume.name} have the mean {mean:.3g} within the mask; it must be > 0.")
    return GridMeasurements(np.moveaxis(values, stack, 0), order, mean)


def _native(
    volume: Volume, mask: np.ndarray, spec: GridSpec, known: GradientTable, stack: int, intensity: IntensityMap
) -> Grid:
    measurements = _scaled(volume, mask, known, stack)
    z_scored = np.where(mask, np.clip(intensity.z(volume.voxels), *spec.clip), spec.background).astype(np.float32)
    n = mask.shape[stack]
    return Grid(
        slices=np.ascontiguousarray(np.moveaxis(z_scored, stack, 0)),
        mask=np.ascontiguousarray(np.moveaxis(mask, stack, 0)),
        position=np.linspace(-0.5, 0.5, n, dtype=np.float32),
        axis=stack,
        placement=volume.frame.to_mm,
        view=volume.frame,
        scan=volume.frame,
        intensity=intensity,
        oblique=volume.oblique,
        measurements=measurements,
    )


def _frames(volume: Volume, mask: np.ndarray, spec: GridSpec, intensity: IntensityMap) -> Grid:
    width, height, n = volume.voxels.shape
    if (height, width) != tuple(spec.shape):
        asks = "×".join(map(str, spec.shape))
        raise InputError(f"{volume.name} has frames of {height}×{width} pixels, and the model asks for {asks}.")
    if not mask.all():
        raise InputError(f"The frames of {volume.name} are analysed whole; a mask that leaves pixels out is of no use.")
    z_scored = np.clip(intensity.z(volume.voxels), *spec.clip).astype(np.float32)
    frame = VoxelGrid(np.zeros(3), np.full(3, spec.spacing), volume.voxels.shape)
    return Grid(
        slices=np.ascontiguousarray(z_scored.transpose(2, 1, 0)),
        mask=np.ones((n, height, width), bool),
        position=np.zeros(n, np.float32),
        axis=2,
        placement=frame.to_mm,
        view=frame,
        scan=frame,
        intensity=intensity,
        kind="clip",
    )


def _aligned(volume: Volume, mask: np.ndarray, spec: GridSpec, template: Template) -> Grid:
    alignment = align(volume, mask, template)
    placement = alignment.affine @ template.frame.to_mm
    shape = template.voxels.shape
    voxels, on_grid = _within_mask(volume, mask, placement, shape)
    if not on_grid.any():
        raise InputError(f"The brain mask of {volume.name} is too small for the model's grid.")
    intensity = harmonise(voxels, on_grid, template)
    z_scored = np.where(on_grid, np.clip(intensity.z(voxels), *spec.clip), spec.background).astype(np.float32)
    n, stack = shape[2], AXES["axial"]
    inside = float(on_grid.sum() * abs(np.linalg.det(placement[:3, :3])) / (mask.sum() * np.prod(volume.spacing)))
    return Grid(
        slices=np.ascontiguousarray(np.moveaxis(z_scored, stack, 0)),
        mask=np.ascontiguousarray(np.moveaxis(on_grid, stack, 0)),
        position=np.linspace(-0.5, 0.5, n, dtype=np.float32),
        axis=stack,
        placement=placement,
        view=_view(volume, mask, spec.spacing),
        scan=volume.frame,
        intensity=intensity,
        outside=max(0.0, 1.0 - inside),
        aligned=True,
        note=alignment.note,
        oblique=volume.oblique,
        failed=alignment.failed,
    )


def _within_mask(
    volume: Volume, mask: np.ndarray, placement: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Resample grey values and mask to the grid of a placement, both (R, A, S) of that grid."""
    to_index = np.linalg.inv(volume.frame.to_mm) @ placement
    share = resample_affine(mask.astype(np.float32), to_index, shape, order=1)
    # Resample only voxels within the mask, so that the surroundings do not bleed into the brain's rim.
    voxels = resample_affine(volume.voxels * mask, to_index, shape, order=1) / np.maximum(share, 0.5)
    return voxels, share >= 0.5


def _view(volume: Volume, mask: np.ndarray, spacing: float, margin: float = 6.0) -> VoxelGrid:
    """Voxel grid of `spacing` mm around the mask, along the scan's axes.

    No voxel lies above the scan's last one, where the slice numbers of a head begin.
    """
    bounds = _bounds(mask)
    low = volume.origin + np.maximum(volume.spacing * bounds[:, 0] - margin, 0)
    last = volume.spacing * (np.array(mask.shape) - 1)
    high = volume.origin + np.minimum(volume.spacing * bounds[:, 1] + margin, last)
    shape = tuple(int(n) for n in np.ceil((high - low) / spacing - 1e-6) + 1)
    return VoxelGrid(high - spacing * (np.array(shape) - 1), np.full(3, spacing), shape)


def _bounds(mask: np.ndarray) -> np.ndarray:
    """Return the first and last index of the mask along each axis, (3, 2)."""
    return np.array([np.flatnonzero(mask.any(tuple(b for b in range(3) if b != a)))[[0, -1]] for a in range(3)])


def _centred(volume: Volume, mask: np.ndarray, spec: GridSpec, stack: int, intensity: IntensityMap) -> Grid:
    plane = [a for a in range(3) if a != stack]
    bounds = _bounds(mask)

    # The grid's centre is a voxel centre of the scan, so that equal spacings need no interpolation.
    shape, origin = np.zeros(3, int), np.zeros(3)
    for a, size in zip(plane, spec.shape, strict=True):
        shape[a] = size
        centre = volume.origin[a] + volume.spacing[a] * (bounds[a].sum() // 2)
        origin[a] = centre - spec.spacing * (size // 2)
    low, high = (volume.origin[stack] + volume.spacing[stack] * b for b in bounds[stack])
    # Round to the nearest slice, halves down: the mask's last voxel lies within half a slice of the grid's last.
    shape[stack] = int(np.ceil((high - low) / spec.spacing - 0.5 - 1e-6)) + 1
    origin[stack] = low

    target = VoxelGrid(origin, np.full(3, spec.spacing), tuple(int(n) for n in shape))
    source = volume.frame
    voxels, on_grid = _on_centred(volume, mask, spec, intensity, target)

    n = int(shape[stack])
    reached = mask[np.ix_(*within(target, source))].sum()
    return Grid(
        slices=np.ascontiguousarray(np.moveaxis(voxels, stack, 0)),
        mask=np.ascontiguousarray(np.moveaxis(on_grid, stack, 0)),
        position=np.linspace(-0.5, 0.5, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32),
        axis=stack,
        placement=target.to_mm,
        view=target,
        scan=source,
        intensity=intensity,
        outside=float(1.0 - reached / mask.sum()),
        oblique=volume.oblique,
    )


def _on_centred(
    volume: Volume, mask: np.ndarray, spec: GridSpec, intensity: IntensityMap, target: VoxelGrid
) -> tuple[np.ndarray, np.ndarray]:
    """Resample z-scores and mask to a centred grid, both (R, A, S) of that grid."""
    z_scored = np.where(mask, intensity.z(volume.voxels), spec.background).astype(np.float32)
    voxels = resample_diagonal(z_scored, volume.frame, target, order=1, cval=spec.background)
    on_grid = resample_diagonal(mask.astype(np.float32), volume.frame, target, order=1, cval=0.0) >= 0.5
    return np.where(on_grid, np.clip(voxels, *spec.clip), spec.background).astype(np.float32), on_grid
