"""The template: the mean healthy brain to which heads are aligned and their grey values harmonised."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.shared import read_file
from napari_vqad.files.tensors import parse_tensors
from napari_vqad.imaging.resample import VoxelGrid

FILE = "template.safetensors"
REACHED = 0.05  # share of healthy heads whose brain covers a voxel
BANDS = (0.0, 0.12, 0.35, 0.65, 0.85, 1.0)  # quantiles of the template's intensity, from dark to bright


@dataclass(frozen=True)
class Template:
    """A mean brain on the grid of aligned models, (R, A, S).

    Attributes:
        voxels: float32, mean intensity, about 0 to 1.
        mask: float32, share of the heads whose brain covers the voxel.
        spacing: mm; the middle of the grid is the origin.
        marks: median of the healthy scans in each of the template's `BANDS`, after bias correction.
        mean, sd: of the healthy scans' brains after their medians were matched to `marks`; z-scores use them.
    """

    voxels: np.ndarray
    mask: np.ndarray
    spacing: float
    marks: np.ndarray
    mean: float
    sd: float

    @property
    def frame(self) -> VoxelGrid:
        """The template's voxel grid, in template mm."""
        shape = self.voxels.shape
        return VoxelGrid(-(np.array(shape) - 1) * self.spacing / 2, np.full(3, self.spacing), shape)

    @cached_property
    def brain(self) -> np.ndarray:
        """Voxels that a healthy brain may cover, bool (S, R, A), in the order of a grid's slices."""
        return np.ascontiguousarray(np.moveaxis(self.mask >= REACHED, 2, 0))

    @cached_property
    def bands(self) -> list[np.ndarray]:
        """One mask, bool (R, A, S), per band: certain brain voxels, divided by the template's intensity."""
        sure = self.mask > 0.9
        edges = np.quantile(self.voxels[sure], BANDS)
        edges[-1] += 1
        return [sure & (self.voxels >= a) & (self.voxels < b) for a, b in pairwise(edges)]

    def save(self, folder: Path) -> None:
        """Write the template into a bundle, 8 bits per voxel.

        Raises:
            OSError: the file cannot be written.
        """
        numbers = np.array([self.spacing, self.mean, self.sd, *self.marks], np.float32)
        parts = {"voxels": self.voxels, "mask": self.mask}
        eight = {k: np.rint(v.clip(0, 1) * 255).astype(np.uint8) for k, v in parts.items()}
        (folder / FILE).write_bytes(save({**eight, "numbers": numbers}))

    @classmethod
    def load(cls, folder: Path) -> Template:
        """Read a bundle's template.

        Raises:
            InputError: the file is missing or, as in `parse`, invalid.
        """
        path = folder / FILE
        return cls.parse(read_file(folder, FILE, limits.TABLES, "is missing from the bundle"), path)

    @classmethod
    def parse(cls, raw: bytes, path: Path) -> Template:
        """Read a template from the bytes of its file; `path` is named in error messages.

        Raises:
            InputError: a tensor is missing or has the wrong shape or type, a number is out of range, or a band has no
                brain voxels.
        """
        broken = InputError(f"{path} is not a template.")
        try:
            parts = parse_tensors(raw, path)
            voxels, mask, numbers = (parts[k] for k in ("voxels", "mask", "numbers"))
        except KeyError as error:
            raise broken from error
        except InputError as error:
            raise InputError(f"{path} is not a template: {str(error).removeprefix(f'{path} ')}") from error
        if voxels.ndim != 3 or voxels.shape != mask.shape or {voxels.dtype, mask.dtype} != {np.dtype(np.uint8)}:
            raise broken
        if numbers.shape != (len(BANDS) + 2,) or numbers.dtype.kind != "f" or 0 in voxels.shape:
            raise broken
        spacing, mean, sd, *marks = numbers.tolist()
        found = cls(voxels.astype(np.float32) / 255, mask.astype(np.float32) / 255, spacing, np.array(marks), mean, sd)
        if (
            not 0.05 <= spacing <= 50
            or not sd > 0
            or not (found.mask > 0.9).any()
            or not all(b.any() for b in found.bands)
        ):
            raise broken
        return found
