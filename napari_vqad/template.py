"""The template: the mean healthy brain that heads are aligned to, and whose grey values they are given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from napari_vqad.errors import InputError
from napari_vqad.resample import Frame

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
    def frame(self) -> Frame:
        """Where its voxels lie in its own mm."""
        shape = self.voxels.shape
        return Frame(-(np.array(shape) - 1) * self.spacing / 2, np.full(3, self.spacing), shape)

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
        """Write it into a bundle, 8 bits a voxel."""
        numbers = np.array([self.spacing, self.mean, self.sd, *self.marks], np.float32)
        parts = {"voxels": self.voxels, "mask": self.mask}
        eight = {k: np.rint(v.clip(0, 1) * 255).astype(np.uint8) for k, v in parts.items()}
        save_file({**eight, "numbers": numbers}, folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Template:
        """Read a bundle's template.

        Raises:
            InputError: it is missing or broken.
        """
        path = folder / FILE
        try:
            parts = load_file(path)
            voxels, mask = (parts[k].astype(np.float32) / 255 for k in ("voxels", "mask"))
            spacing, mean, sd, *marks = parts["numbers"].tolist()
        except FileNotFoundError as error:
            raise InputError(f"{path} is missing from the bundle.") from error
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise InputError(f"{path} is not a template.") from error
        if voxels.ndim != 3 or voxels.shape != mask.shape or len(marks) != len(BANDS) - 1:
            raise InputError(f"{path} is not a template.")
        return cls(voxels, mask, spacing, np.array(marks), mean, sd)
