"""Normative maps: healthy mean and SD of a score at each voxel of the template's grid.

A residual of one SD is large in the middle of the white matter and normal at a sulcus. In aligned scans,
z = (score − mean) / SD, with mean and SD at the same voxel, is comparable everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from scipy import ndimage
from torch.nn import functional as F

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.shared import has_file, read_file
from napari_vqad.files.tensors import parse_tensors

FILE = "places.safetensors"
STEP = 2  # maps are smooth, so they are stored at half resolution
SMOOTH = 2.0  # voxels, SD of the Gaussian
PRIOR = 1.0  # weight, in scans, of the mean over all voxels; it matters where few brains reach
FLOOR = 0.3  # smallest SD, as a share of the SD over all voxels


@dataclass(frozen=True)
class NormativeMaps:
    """Healthy mean and SD at each voxel, name → float32 (2, n', H', W'), at half the grid's resolution."""

    maps: dict[str, NDArray]
    shape: tuple[int, int, int]
    _full: dict[str, tuple[NDArray, NDArray]] = field(default_factory=dict, repr=False)

    @classmethod
    def none(cls) -> NormativeMaps:
        """Return empty maps, for a model without normative maps."""
        return cls({}, (0, 0, 0))

    def __contains__(self, name: object) -> bool:
        return name in self.maps

    def at(self, name: str) -> tuple[NDArray, NDArray]:
        """Return mean and SD of a score at each voxel of the grid, (n, H, W) each."""
        if name not in self._full:
            coarse = torch.from_numpy(self.maps[name])[None]
            fine = F.interpolate(coarse, self.shape, mode="trilinear", align_corners=False)[0].numpy()
            self._full[name] = fine[0], fine[1]
        return self._full[name]

    def zscore(self, name: str, score: NDArray, mask: NDArray) -> NDArray[np.float32]:
        """Compute (score − mean) / SD within the mask, zero outside, (n, H, W)."""
        mean, sd = self.at(name)
        return np.where(mask, (score - mean) / sd, 0).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write the maps into a bundle, in half precision.

        Raises:
            OSError: the file cannot be written.
        """
        shape = np.array(self.shape, np.int32)
        maps = {k: v.astype(np.float16) for k, v in self.maps.items()}
        (folder / FILE).write_bytes(save({"shape": shape, **maps}))

    @classmethod
    def load(cls, folder: Path) -> NormativeMaps:
        """Read a bundle's normative maps; empty if it has no such file.

        Raises:
            InputError: as in `parse`.
        """
        path = folder / FILE
        return cls.parse(read_file(folder, FILE, limits.TABLES), path) if has_file(folder, FILE) else cls.none()

    @classmethod
    def parse(cls, raw: bytes, path: Path) -> NormativeMaps:
        """Read normative maps from the bytes of their file; `path` is named in messages.

        Raises:
            InputError: the file is broken, a value is not finite, an SD is not above zero, or the maps' shapes differ.
        """
        broken = InputError(f"{path} does not hold healthy means by place.")
        try:
            maps = parse_tensors(raw, path)
            shape = maps.pop("shape")
        except KeyError as error:
            raise broken from error
        except InputError as error:
            raise InputError(f"{broken.args[0][:-1]}: {str(error).removeprefix(f'{path} ')}") from error
        if shape.shape != (3,) or shape.dtype.kind not in "iu" or not all(STEP <= n <= 2048 for n in shape.tolist()):
            raise broken
        n, h, w = shape.tolist()
        kept = (2, n // STEP, h // STEP, w // STEP)
        if any(m.shape != kept or m.dtype.kind != "f" or not (m[1] > 0).all() for m in maps.values()):
            raise broken
        return cls({k: m.astype(np.float32) for k, m in maps.items()}, (n, h, w))


def fit(scores: Iterable[tuple[NDArray, NDArray]]) -> NDArray[np.float32]:
    """Compute mean and SD at each voxel from healthy (score, mask) pairs, (n, H, W) each; left and right are pooled.

    Returns:
        (2, n', H', W') as in `NormativeMaps.maps`.
    """
    total = square = count = np.zeros(())
    for score, mask in scores:
        for s, m in ((score, mask), (score[:, ::-1], mask[:, ::-1])):  # the template is symmetric
            total = total + np.where(m, s, 0.0)
            square = square + np.where(m, np.square(s, dtype=np.float64), 0.0)
            count = count + m
    mean_all = total.sum() / count.sum()
    square_all = square.sum() / count.sum()
    many = ndimage.gaussian_filter(count, SMOOTH) + PRIOR
    mean = (ndimage.gaussian_filter(total, SMOOTH) + PRIOR * mean_all) / many
    spread = np.sqrt(np.maximum((ndimage.gaussian_filter(square, SMOOTH) + PRIOR * square_all) / many - mean**2, 0))
    spread = np.maximum(spread, FLOOR * np.sqrt(square_all - mean_all**2))
    fine = torch.from_numpy(np.stack([mean, spread]).astype(np.float32))[None]
    return F.avg_pool3d(fine, STEP, STEP)[0].numpy()
