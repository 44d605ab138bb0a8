"""A scan resampled to a model's grid of slices, and maps resampled from the grid back to the scan.

Maps are displayed on the *view*, a voxel grid along the scan's own axes, so that the canvas never shows sheared
layers. `imaging.layout` resamples a scan to the grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional as F

from napari_vqad.imaging.intensity import IntensityMap, linear
from napari_vqad.imaging.measurements import GridMeasurements
from napari_vqad.imaging.resample import VoxelGrid, resample_affine, resample_diagonal
from napari_vqad.imaging.volume import Kind, along

PLAIN = linear(0.0, 1.0)


@dataclass(frozen=True)
class Grid:
    """A scan on a model's grid.

    Attributes:
        slices: float32 (n, H, W), in SD of healthy intensity; the background value outside the mask.
        mask: bool (n, H, W).
        position: float32 (n,), −0.5 … 0.5 from the lowest to the highest slice of the mask, or of the template; 0 for
            every frame of a clip.
        axis: canonical axis that the slices are stacked along.
        placement: 4×4, grid index along canonical axes → mm in the scan's diagonal frame.
        view: voxel grid along the scan's axes, with the grid's spacing, on which maps are displayed.
        scan: voxel grid of the scan in canonical order.
        intensity: conversion from grey values to SD, and back.
        outside: share of the mask's voxels that lie beyond the grid, 0 to 1.
        aligned: the scan was aligned to the template, so a voxel is at the same anatomical place in all aligned scans.
        failed: the alignment failed; only the middle and extent of the brain match the template's.
        note: sentence on the alignment, for the user.
        oblique: the scan's axes are not parallel to the scanner's (`Volume.oblique`).
        kind: "head" or "clip". The slices of a clip are its frames, (time, row, column).
        measurements: diffusion measurements of each voxel, for a model that knows them; else None.
    """

    slices: np.ndarray
    mask: np.ndarray
    position: np.ndarray
    axis: int
    placement: np.ndarray
    view: VoxelGrid
    scan: VoxelGrid
    intensity: IntensityMap = field(default=PLAIN, repr=False)
    outside: float = 0.0
    aligned: bool = False
    note: str = ""
    oblique: bool = False
    kind: Kind = "head"
    failed: bool = False
    measurements: GridMeasurements | None = field(default=None, repr=False)

    @classmethod
    def of_slices(
        cls,
        slices: np.ndarray,
        mask: np.ndarray,
        position: np.ndarray,
        spacing: float,
        aligned: bool = False,
        kind: Kind = "head",
    ) -> Grid:
        """Make a grid of axial slices or frames, (n, H, W), without a source scan; its first voxel is the origin."""
        n, h, w = mask.shape
        frame = VoxelGrid(np.zeros(3), np.full(3, spacing), (h, w, n) if kind == "head" else (w, h, n))
        return cls(slices, mask, position, 2, frame.to_mm, frame, frame, aligned=aligned, kind=kind)

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def spacing(self) -> float:
        """Voxel size of the grid in mm of the scan, geometric mean of the axes."""
        return float(abs(np.linalg.det(self.placement[:3, :3])) ** (1 / 3))

    @property
    def voxel_ml(self) -> float:
        """Volume of a grid voxel in mL of the scan."""
        return float(abs(np.linalg.det(self.placement[:3, :3]))) / 1000

    @property
    def remarks(self) -> list[str]:
        """Sentences for the user: how the alignment went, and how much of the mask is not analysed."""
        beyond = f"{self.outside:.0%} of the mask lies beyond the model's grid and is not analysed."
        return [*([self.note] if self.note else []), *([beyond] if self.outside > 0.02 else [])]

    def stack_to_ras(self, stack: np.ndarray) -> np.ndarray:
        """Return an array (n, H, W) of the grid as a NumPy view with canonical axes (R, A, S)."""
        return stack.transpose(2, 1, 0) if self.kind == "clip" else np.moveaxis(stack, 0, self.axis)

    def axes_index(self, index: np.ndarray) -> np.ndarray:
        """Convert grid indices (…, 3), (slice, row, column), to indices along its canonical axes (R, A, S)."""
        if self.kind == "clip":
            return index[..., ::-1]
        return np.insert(index[..., 1:], self.axis, index[..., 0], axis=-1)

    def grid_index(self, index: np.ndarray) -> np.ndarray:
        """Invert `axes_index`: (R, A, S) to (slice, row, column)."""
        if self.kind == "clip":
            return index[..., ::-1]
        return np.concatenate([index[..., [self.axis]], np.delete(index, self.axis, -1)], -1)

    def index_at(self, mm: np.ndarray) -> tuple[int, int, int] | None:
        """Find the voxel (slice, row, column) at a point, mm (R, A, S) of the diagonal frame; None beyond the grid."""
        on_axes = np.rint((np.linalg.inv(self.placement) @ [*mm, 1.0])[:3]).astype(int)
        i, j, k = (int(v) for v in self.grid_index(on_axes))
        inside = all(0 <= v < n for v, n in zip((i, j, k), self.mask.shape, strict=True))
        return (i, j, k) if inside else None

    def ras_to_stack(self, array: np.ndarray) -> np.ndarray:
        """Invert `stack_to_ras`: return an array with canonical axes as a NumPy view (n, H, W)."""
        return array.transpose(2, 1, 0) if self.kind == "clip" else np.moveaxis(array, self.axis, 0)

    def to_scan(self, stack: np.ndarray, order: int = 1) -> np.ndarray:
        """Resample a map of the grid, (n, H, W), to the canonical voxels of the scan.

        The result is zero beyond the grid, which ends half a voxel past its last voxel centres. Use `order` 0 for
        labels. A centred grid with the scan's spacing is not interpolated, since its voxel centres are the scan's. An
        aligned grid is resampled through the exact inverse of its affine.
        """
        stack = np.asarray(stack)
        on_axes = self.stack_to_ras(stack.astype(np.float32))
        if self.aligned:
            found = resample_affine(
                on_axes, np.linalg.inv(self.placement) @ self.scan.to_mm, self.scan.shape, order=order
            )
        else:
            found = resample_diagonal(on_axes, self.view, self.scan, order=order, cval=0.0)
        return found.astype(stack.dtype if order == 0 else np.float32)

    def from_scan(self, label: np.ndarray) -> np.ndarray:
        """Sample a label of the scan, (R, A, S), at the grid's voxel centres: float32 (n, H, W), zero off the scan."""
        to_index = np.linalg.inv(self.scan.to_mm) @ self.placement
        found = resample_affine(label.astype(np.float32), to_index, self.stack_to_ras(self.mask).shape, order=0)
        return self.ras_to_stack(found)

    def to_display(self, stack: np.ndarray, order: int = 1, beyond: float = 0.0) -> np.ndarray:
        """Resample a map of the grid, (n, H, W), to the view, (R, A, S); `beyond` fills voxels off the grid."""
        if not self.aligned:
            return self.stack_to_ras(stack)
        on_axes = torch.from_numpy(np.ascontiguousarray(self.stack_to_ras(stack), np.float32) - np.float32(beyond))[
            None, None
        ]
        found = F.grid_sample(on_axes, self._field, "bilinear" if order else "nearest", "zeros", align_corners=True)
        return (found[0, 0].numpy() + np.float32(beyond)).astype(stack.dtype)

    def view_to_scan(self, array: np.ndarray, order: int = 1) -> np.ndarray:
        """Resample an array from the view's voxels, (R, A, S), to the scan's."""
        return resample_diagonal(array.astype(np.float32), self.view, self.scan, order=order, cval=0.0)

    @cached_property
    def _field(self) -> torch.Tensor:
        """Grid position of each view voxel, in the format of `grid_sample`: last axis first, −1 to 1."""
        to_index = np.linalg.inv(self.placement) @ self.view.to_mm
        shape = self.stack_to_ras(self.slices).shape
        voxels = np.stack(np.meshgrid(*(np.arange(n) for n in self.view.shape), indexing="ij"), -1)
        index = voxels @ to_index[:3, :3].T + to_index[:3, 3]
        scaled = 2 * index / np.maximum(np.array(shape) - 1, 1) - 1
        return torch.from_numpy(scaled[..., ::-1].astype(np.float32).copy())[None]

    def slice_of(self, mm: float) -> int:
        """Return the slice whose middle is nearest to a coordinate in mm along the stacking axis."""
        return int(np.clip(round((mm - self.slice_mm(0)) / self._step), 0, len(self) - 1))

    def slice_mm(self, index: int) -> float:
        """Return the position of a slice's middle along the stacking axis, mm of the scan's diagonal frame."""
        middle = (np.array(self.stack_to_ras(self.slices).shape) - 1) / 2
        middle[self.axis] = 0
        return float((self.placement @ [*middle, 1.0])[self.axis] + self._step * index)

    def slice_label(self, index: int) -> str:
        """Describe the position of a slice's middle: "I 12 mm"; "−12 mm" if oblique; "frame 12" for a clip."""
        mm = self.slice_mm(index)
        return f"frame {mm:.0f}" if self.kind == "clip" else along(self.axis, mm, self.oblique)

    @property
    def axis_note(self) -> str:
        """Text to put after a slice position in mm if the scan is oblique; otherwise empty."""
        return " along the scan's own axis" if self.oblique else ""

    @property
    def _step(self) -> float:
        return float(self.placement[self.axis, self.axis])
