"""Axis orders that the user can choose for an array that does not state its orientation."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
from nibabel.orientations import io_orientation

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import SIDES, Volume

WORDS = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "top", "I": "bottom"}
# All 48 orders; the usual ones of libraries first: z, y, x from the bottom (SimpleITK) or the top; x, y, z (nibabel).
USUAL = ("SPL", "IPL", "RAS", "LAS", "LPS", "PSR", "PIR", "ASR", "SAR")
ALL = (*USUAL, *sorted({"".join(p) for order in permutations(SIDES) for p in product(*order)} - set(USUAL)))


def in_words(codes: str) -> str:
    """Describe the axis directions of an array: "SPL" is "to top, back, left"."""
    return "to " + ", ".join(WORDS[c] for c in codes)


def with_axes(volume: Volume, codes: str) -> Volume:
    """Reorient a scan to the axis order that the user chose.

    Args:
        volume: voxels, spacing, header and path are kept; the array's middle becomes 0 mm, as its position is unknown.
        codes: for each axis of the array in its file, the letter of the side that it points to: one of `ALL`.

    Raises:
        InputError: it is a diffusion scan, whose gradients depend on the axes.
    """
    if volume.measurements is not None:
        raise InputError(
            f"{volume.name} is a diffusion scan, whose gradients depend on the axes; correct the header of its file."
        )
    array, order = volume.to_file(volume.voxels), io_orientation(volume.file_affine)[:, 0].astype(int)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (code, canonical) in enumerate(zip(codes, order, strict=True)):
        side = next(i for i, pair in enumerate(SIDES) if code in pair)
        affine[side, axis] = volume.spacing[canonical] * (1 if code == SIDES[side][0] else -1)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(array.shape) - 1) / 2)
    turned = Volume.from_array(array, affine, name=volume.name, path=volume.path, header=volume.header)
    return replace(turned, kind=volume.kind, notes=(f"How the head lies was said by the user: {in_words(codes)}.",))
