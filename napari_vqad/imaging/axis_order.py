"""What the user says of an array that does not say itself how the head lies in it."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
from nibabel.orientations import io_orientation

from napari_vqad.imaging.volume import SIDES, Volume

WORDS = {"R": "right", "L": "left", "A": "front", "P": "back", "S": "top", "I": "bottom"}
# The 48 there are; first what libraries give: z, y, x from the bottom (SimpleITK) or the top; x, y, z (nibabel).
USUAL = ("SPL", "IPL", "RAS", "LAS", "LPS", "PSR", "PIR", "ASR", "SAR")
ALL = (*USUAL, *sorted({"".join(p) for order in permutations(SIDES) for p in product(*order)} - set(USUAL)))


def in_words(codes: str) -> str:
    """Where the axes of an array run: "SPL" is "to top, back, left"."""
    return "to " + ", ".join(WORDS[c] for c in codes)


def with_axes(volume: Volume, codes: str) -> Volume:
    """A scan as the user says it lies.

    Args:
        volume: voxels, spacing, header and path are kept; the place in the scanner, which nobody knows, is given up.
        codes: a letter for each axis of the array in its file, of the side to which it runs: one of `ALL`.
    """
    array, order = volume.to_file(volume.voxels), io_orientation(volume.file_affine)[:, 0].astype(int)
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (code, canonical) in enumerate(zip(codes, order, strict=True)):
        side = next(i for i, pair in enumerate(SIDES) if code in pair)
        affine[side, axis] = volume.spacing[canonical] * (1 if code == SIDES[side][0] else -1)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(array.shape) - 1) / 2)
    turned = Volume.from_array(array, affine, name=volume.name, path=volume.path, header=volume.header)
    return replace(turned, kind=volume.kind, notes=(f"How the head lies was said by the user: {in_words(codes)}.",))
