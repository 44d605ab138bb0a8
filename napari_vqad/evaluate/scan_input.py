"""Input of the commands that draw figures: a head with its mask or a clip, and a slice by the number that users see."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.errors import InputError
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.imaging.volume import Kind, Volume
from napari_vqad.io.clips import Clip, read_clip
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import read_labels, read_mask


class ScanInput(NamedTuple):
    """A head or a clip.

    Attributes:
        volume: the scan.
        mask: bool, on its voxels; all True for a clip.
        label: bool, on its voxels, True where it is abnormal; None if that is not known.
    """

    volume: Volume
    mask: NDArray[np.bool_]
    label: NDArray[np.bool_] | None = None


def read_input(path: Path, kind: Kind, mask: Path | None = None, label: Path | None = None) -> ScanInput:
    """Read a head or a clip.

    Args:
        path: a head (NIfTI or DICOM), or a clip (npz).
        kind: which of the two the model was trained on.
        mask: file with the brain mask of a head; the mask is computed if it is not given.
        label: file with the label of a head; a clip's labels are in its own file.

    Raises:
        InputError: a file cannot be read or does not fit the scan; or a mask or label is given for a clip.
    """
    if kind == "clip":
        for flag, given in (("--mask", mask), ("--label", label)):
            if given:
                raise InputError(f"{flag} is for heads; a clip is analysed whole, and its labels are in its own file.")
        return clip_input(read_clip(path))
    volume = load_scan(path)
    brain = read_mask(mask, volume) if mask else make_mask(volume)[0]
    return ScanInput(volume, brain, read_labels(label, volume) > 0 if label else None)


def clip_input(clip: Clip) -> ScanInput:
    """Convert a clip; its label has the axes of the volume, (column, row, time)."""
    volume = clip.volume()
    label = None if clip.label is None else clip.label.transpose(2, 1, 0)
    return ScanInput(volume, np.ones(volume.voxels.shape, bool), label)


def index_of(grid: Grid, number: int, name: str) -> int:
    """Return the index along the grid of the slice that the viewer numbers so, or of a frame.

    Args:
        grid: the scan on the model's grid.
        number: as in `imaging.slice_numbers`.
        name: of the scan, for the error.

    Raises:
        InputError: no slice with brain has this number.
    """
    brain = grid.mask.any((1, 2))
    known = numbers(grid)
    found = np.flatnonzero(brain & (known == number))
    if not len(found):
        there = np.sort(known[brain])
        what, among = ("frame", "frames") if grid.kind == "clip" else ("slice", "slices with brain")
        nearest = there[np.abs(there - number).argmin()]
        raise InputError(
            f"{name} has no {what} {number} to analyse; of its {among}, {there[0]} to {there[-1]}, the nearest is "
            f"{nearest}."
        )
    return int(found[0])
