"""A scan in canonical orientation, and its exact conversion back to the axis order of its file.

* the **file**: any axis order, sign and obliqueness that the scanner wrote;
* the **canonical** array: the same voxels, with axes flipped and swapped so that indices increase to the patient's
  Right, Anterior and Superior (nothing is interpolated; obliqueness stays in the affine).

`layout` resamples a volume to a model's slices. A camera clip is a volume, too; its axes are column, row and time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import Kind
from napari_vqad.imaging.measurements import Measurements
from napari_vqad.imaging.resample import VoxelGrid
from napari_vqad.text import printable

SIDES = ("RL", "AP", "SI")  # letters of the patient's sides for each canonical axis: above and below zero
APART = 0.5  # mm


@dataclass(frozen=True)
class EditedFrom:
    """Where an edited scan comes from.

    Attributes:
        original: the scan as it was read.
        recipe: the edits (`simulate.edits.Recipe`), which give the same voxels again when they are replayed on it.
        lines: the edits in words, one line each.
        label: uint8 (R, A, S), the number of the edit at each voxel, from 1; 0 elsewhere.
    """

    original: Volume
    recipe: Any
    lines: tuple[str, ...]
    label: np.ndarray = field(repr=False)

    @property
    def headline(self) -> str:
        """Say that anomalies were put in, and how many."""
        n = len(self.lines)
        return f"Edited scan: {n} {'anomaly' if n == 1 else 'anomalies'} put in"


@dataclass(frozen=True)
class Volume:
    """A 3D scan in canonical order (R, A, S). For a clip, read (column, row, time) and pixels instead of mm.

    Attributes:
        voxels: float32 (R, A, S), finite.
        affine: 4×4, canonical voxel index → scanner mm.
        file_affine: 4×4, voxel index of the array in the file → scanner mm.
        name: name shown on screen.
        path: the file or folder; None for an array.
        header: the file's header, kept for writing maps.
        notes: changes made to the voxels on reading, in sentences for the user.
        kind: "head" or "clip".
        side_known: False if the file does not say which side is right, or contradicts itself; "right" and "left" may
            then be swapped.
        measurements: of a diffusion scan, whose `voxels` are the mean without diffusion weighting; else None.
        edited: where an edited scan comes from; None for a scan as it was read.
    """

    voxels: np.ndarray
    affine: np.ndarray
    file_affine: np.ndarray
    name: str = "scan"
    path: Path | None = None
    header: Any = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    kind: Kind = "head"
    side_known: bool = True
    measurements: Measurements | None = field(default=None, repr=False)
    edited: EditedFrom | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable(self.name))  # names of files and series may contain any character

    @classmethod
    def from_array(cls, array: np.ndarray, affine: np.ndarray, **about: Any) -> Volume:
        """Reorder an array of any axis order and sign to canonical axes; nothing is interpolated.

        Axes behind the third stay as they are.

        Raises:
            InputError: the affine leaves an axis without a direction.
        """
        affine = np.asarray(affine, float)
        orientation = io_orientation(affine)
        if np.isnan(orientation).any():
            raise InputError(f"{about.get('name', 'The scan')} has an affine that leaves an axis without a direction.")
        voxels = np.ascontiguousarray(apply_orientation(array, orientation), dtype=np.float32)
        canonical = affine @ inv_ornt_aff(orientation, array.shape[:3])
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
    def frame(self) -> VoxelGrid:
        """The canonical voxel grid, in mm along the scan's own axes (the scan's diagonal frame)."""
        return VoxelGrid(self.origin, self.spacing, self.voxels.shape)

    @property
    def oblique(self) -> bool:
        """True if mm along the scan's axes differ from scanner mm (see `is_oblique`)."""
        return is_oblique(self.affine, self.voxels.shape)

    @property
    def source(self) -> Volume:
        """The scan as it was read: this one, or the original of an edited scan."""
        return self if self.edited is None else self.edited.original

    @property
    def axcodes(self) -> tuple[str, ...]:
        """The file's axis directions, such as ('P', 'S', 'R')."""
        return aff2axcodes(self.file_affine)

    def to_file(self, array: np.ndarray) -> np.ndarray:
        """Return a canonical array in the axis order and signs of the file; exact."""
        back = ornt_transform(io_orientation(self.affine), io_orientation(self.file_affine))
        return np.asarray(apply_orientation(array, back))


def fingerprint(volume: Volume) -> str:
    """Return the SHA-256 of a scan's canonical voxels, float32 (R, A, S), and of its diffusion measurements, if any."""
    digest = hashlib.sha256(np.ascontiguousarray(volume.voxels, "<f4").data)
    if volume.measurements is not None:
        digest.update(np.ascontiguousarray(volume.measurements.values, "<f4").data)
    return digest.hexdigest()


def is_oblique(affine: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Say whether, for any voxel, mm along the scan's own axes differ from scanner mm by more than 0.5 mm."""
    corners = np.array(list(product(*((0, n - 1) for n in shape))))
    turn = affine[:3, :3]
    return bool(np.abs(corners @ (turn - np.diag(np.sqrt((turn**2).sum(0)))).T).max() > APART)


def side_label(axis: int, mm: float, known: bool = True) -> str:
    """Write a coordinate with its side's letter: −12 mm along axis 2 is "I 12", or "I? 12" if not `known`."""
    return f"{SIDES[axis][int(mm < 0)]}{'' if known else '?'} {abs(mm):.0f}"


def along(axis: int, mm: float, oblique: bool, known: bool = True) -> str:
    """Write a coordinate in mm of the scan's diagonal frame: "I 12 mm", or "−12 mm" if the scan is oblique."""
    return f"{mm:+.0f} mm".replace("-", "−") if oblique else f"{side_label(axis, mm, known)} mm"
