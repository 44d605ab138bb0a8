"""The template: the mean healthy brain that heads are aligned to, and whose grey values they are given."""

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
REACHED = 0.05  # share of healthy heads
BANDS = (0.0, 0.12, 0.35, 0.65, 0.85, 1.0)  # shares of the template's voxels, from dark to bright


@dataclass(frozen=True)
class Template:
    """A mean brain on the grid that aligned models know, (R, A, S).

    Attributes:
        voxels: float32, mean intensity, about 0 to 1.
        mask: float32, share of the heads whose brain reaches the voxel.
        spacing: mm; the middle of the grid is the origin.
        marks: what the healthy scans' median is in each of the template's `BANDS`, after bias correction.
        mean, sd: of the healthy scans' brains once their marks lie there; the z-scores of the grid are taken with them.
    """

    voxels: np.ndarray
    mask: np.ndarray
    spacing: float
    marks: np.ndarray
    mean: float
    sd: float

    @property
    def frame(self) -> VoxelGrid:
        """Where its voxels lie in its own mm."""
        shape = self.voxels.shape
        return VoxelGrid(-(np.array(shape) - 1) * self.spacing / 2, np.full(3, self.spacing), shape)

    @cached_property
    def brain(self) -> np.ndarray:
        """bool (S, R, A), as slices of a grid: where a healthy brain may reach."""
        return np.ascontiguousarray(np.moveaxis(self.mask >= REACHED, 2, 0))

    @cached_property
    def bands(self) -> list[np.ndarray]:
        """bool (R, A, S) each: the voxels of sure brain, by the template's own intensity."""
        sure = self.mask > 0.9
        edges = np.quantile(self.voxels[sure], BANDS)
        edges[-1] += 1
        return [sure & (self.voxels >= a) & (self.voxels < b) for a, b in pairwise(edges)]

    def save(self, folder: Path) -> None:
        """Write it into a bundle, 8 bits a voxel.

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
            InputError: it is missing, or as `parse`.
        """
        path = folder / FILE
        return cls.parse(read_file(folder, FILE, limits.TABLES, "is missing from the bundle"), path)

    @classmethod
    def parse(cls, raw: bytes, path: Path) -> Template:
        """What the bytes of such a file say; `path` names it in the sentence.

        Raises:
            InputError: it is broken: numbers are finite, spacing and SD above zero, and there is brain in each band.
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
