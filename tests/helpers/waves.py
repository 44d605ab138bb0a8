"""Packed slices of smooth waves, for trainings that must take a second."""

from pathlib import Path

import numpy as np

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.train.data import Stack


def pack_waves(folder: Path, shape: tuple[int, int], n: int, *, scans: int = 2) -> Path:
    """Write training, validation and calibration data; the waves of each differ in one number.

    Args:
        folder: an existing folder.
        shape: of a slice.
        n: slices of a scan.
        scans: scans of each split, all alike.
    """
    spec = GridSpec(shape=shape, spacing=8.0)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, size) for size in (n, *shape)), indexing="ij")
    mask, place = z**2 / 1.1 + y**2 + x**2 < 0.8, np.linspace(-0.5, 0.5, n, dtype=np.float32)
    for seed, split in enumerate(("train", "validation", "calibration")):
        shift = np.random.default_rng(seed).normal()
        slices = np.where(mask, np.cos(3 * y + shift), -2).astype(np.float32)
        Stack.of([Grid.of_slices(slices, mask, place, 8.0)] * scans, spec).save(folder / f"{split}.npz")
    return folder
