"""Normal voxels of diffusion scans, prepared as the q-space detector prepares them, in three parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.errors import InputError
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.diffusion import is_diffusion
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import ENDINGS, read_mask
from napari_vqad.scores.pooling import judged
from napari_vqad.train.data import Split, split_of

MASK, DOUBTFUL = "{}_mask.nii.gz", "{}_doubtful.nii.gz"
COHORT = 3  # scans; fewer are divided by slices
UPPER = 0.2  # share of the slices of one scan for calibration: neighbouring ones, because pooling joins slices
HELD_OUT = 4  # every n-th other slice is for validation
LEAST = 50  # voxels of a part
BY_SCAN = (
    "By scan, sorted by file name: index mod 10 = 0 validation, = 1 calibration, the rest training ({} scans in all)"
)
BY_SLICE = (
    "Within the scan, by axial slice: the upper fifth for calibration, every fourth other slice for validation, the "
    "rest for training; a scan resembles itself, so healthy percentiles are a little low for another scan"
)


class NormalScan(NamedTuple):
    """A diffusion scan, its brain, bool (R, A, S), and the part of it that is normal, bool (R, A, S)."""

    volume: Volume
    brain: NDArray[np.bool_]
    normal: NDArray[np.bool_]


@dataclass(frozen=True)
class NormalVoxels:
    """Normal voxels.

    Attributes:
        train, validation: float32 (M, N), measurements divided by the mean of their scan and by `channel_means`.
        channel_means: float32 (N,), means of the training voxels.
        calibration: grids whose masks hold the normal voxels of the third part.
        spec: the grid of the model.
        split: how the voxels were divided, in a sentence.
    """

    train: NDArray[np.float32]
    validation: NDArray[np.float32]
    channel_means: NDArray[np.float32]
    calibration: tuple[Grid, ...]
    spec: GridSpec
    split: str

    def grids(self, spec: GridSpec) -> Iterator[Grid]:
        """Return the grids of the calibration; `spec` is that of the model already."""
        return iter(self.calibration)


def read_scans(folder: str | Path) -> list[NormalScan]:
    """Read the diffusion scans of a folder, sorted by name.

    Beside NAME.nii.gz may lie NAME_mask.nii.gz, its brain, and NAME_doubtful.nii.gz, voxels that may not be normal.

    Raises:
        InputError: the folder has no diffusion scan, or a file cannot be read.
    """
    folder = Path(folder)
    paths = sorted(p for p in folder.glob("*.nii*") if p.name.endswith(ENDINGS) and is_diffusion(p))
    if not paths:
        raise InputError(f"{folder} has no diffusion scan: a NIfTI file of four axes, with its gradients beside it.")
    return [_read(path) for path in paths]


def _read(path: Path) -> NormalScan:
    volume = load_scan(path)
    mask, doubtful = (path.with_name(name.format(volume.name)) for name in (MASK, DOUBTFUL))
    brain = read_mask(mask, volume) if mask.exists() else make_mask(volume).voxels
    normal = brain & ~read_mask(doubtful, volume) if doubtful.exists() else brain
    return NormalScan(volume, brain, normal)


def normal_voxels(scans: Sequence[NormalScan]) -> NormalVoxels:
    """Prepare the normal voxels of scans that have the measurements of the first, and divide them into parts.

    Three or more scans are divided by scan, as heads are; fewer by slice, which is less strict, since neighbouring
    slices look alike.

    Raises:
        InputError: a scan has other measurements than the first, or as in `to_grid`; a part has too few voxels, or a
            measurement a mean of zero.
    """
    first = scans[0].volume
    assert first.measurements is not None
    spacing = float(np.prod(first.spacing) ** (1 / 3))
    spec = GridSpec(first.voxels.shape[:2], round(spacing, 3), measurements=first.measurements.gradients)
    parts: dict[Split, list[Grid]] = {"train": [], "validation": [], "calibration": []}
    by_scan = len(scans) >= COHORT
    for number, scan in enumerate(scans):
        grid = to_grid(scan.volume, scan.brain, spec)
        normal = np.moveaxis(scan.normal, grid.axis, 0)
        if by_scan:
            parts[split_of(number)].append(replace(grid, mask=normal))
            continue
        of_slice = _of_slices(normal)
        for split, grids in parts.items():
            grids.append(replace(grid, mask=normal & (of_slice == split)[:, None, None]))
    voxels = {split: np.concatenate([_inside(g) for g in grids]) for split, grids in parts.items()}
    for split, found in voxels.items():
        if len(found) < LEAST:
            raise InputError(f"There are {len(found)} normal voxels for {split}, and at least {LEAST} are needed.")
    if not any(judged(grid.mask, "baur").any() for grid in parts["calibration"]):
        raise InputError("The normal voxels for calibration are too thin: a pooling leaves out their rim.")
    means = voxels["train"].mean(0, dtype=np.float64).astype(np.float32)
    if not (means > 0).all():
        raise InputError(f"Measurement {int(np.argmin(means))} has the mean {means.min():.3g} over the normal voxels.")
    divided = BY_SCAN.format(len(scans)) if by_scan else BY_SLICE
    train, validation = voxels["train"] / means, voxels["validation"] / means
    return NormalVoxels(train, validation, means, tuple(parts["calibration"]), spec, divided)


def _of_slices(normal: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return the part of each slice of normal voxels, bool (n, H, W); slices without voxels count as training."""
    there = np.flatnonzero(normal.any((1, 2)))
    upper = max(3, round(UPPER * len(there)))
    of_slice = np.full(len(normal), "train", dtype="<U11")
    of_slice[there[:-upper][1::HELD_OUT]] = "validation"
    of_slice[there[-upper:]] = "calibration"
    return of_slice


def _inside(grid: Grid) -> NDArray[np.float32]:
    assert grid.measurements is not None
    return grid.measurements.inside(grid.mask)
