"""The brain mask that the user gives: a layer, a file, or the mask of an opened study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from napari.layers import Labels, Layer

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import read_mask
from napari_vqad.ui.layers import placement


@dataclass(frozen=True, eq=False)
class StudyMask:
    """The mask that a saved study was computed with, even if its layer or file has changed since.

    Attributes:
        voxels: bool (R, A, S).
        note: a sentence that says where the mask came from.
        scan: the layer of the study's scan; the mask is only valid for it.
    """

    voxels: np.ndarray
    note: str
    scan: Layer

    @property
    def title(self) -> str:
        """Its name in a list: "of the study, from the layer 'ball'"."""
        source = self.note.removeprefix("Brain mask").lstrip(": ").rstrip(".")
        return f"of the study, {source}" if source else "of the study"


def given_mask(mask: Labels | Path | StudyMask, volume: Volume) -> tuple[np.ndarray, str]:
    """The mask that the user gave, bool (R, A, S), and a sentence that says where it came from.

    Raises:
        InputError: the mask does not lie on the scan's voxels.
    """
    if isinstance(mask, StudyMask):
        return mask.voxels, mask.note
    if isinstance(mask, Path):
        return read_mask(mask, volume), f"Brain mask from {mask.name}."
    return layer_voxels(mask, volume, "mask"), f"Brain mask from the layer '{mask.name}'."


def layer_voxels(layer: Labels, volume: Volume, what: str) -> np.ndarray:
    """The voxels of a Labels layer that are above zero, bool (R, A, S), on the voxels of a scan.

    Raises:
        InputError: the layer does not lie on the scan's voxels; `what` says in the sentence what the layer is.
    """
    array, origin = placement.mask_of(layer)
    if array.shape != volume.voxels.shape:
        sizes = ["×".join(map(str, s)) for s in (array.shape, volume.voxels.shape)]
        raise InputError(
            f"The {what} layer '{layer.name}' has {sizes[0]} voxels and the scan has {sizes[1]}; they must agree."
        )
    if (np.abs(origin - volume.origin) > volume.spacing).any():
        raise InputError(
            f"The {what} layer '{layer.name}' is shifted by over a voxel from {volume.name}; they must agree."
        )
    return array
