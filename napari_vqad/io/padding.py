"""Padding: voxels that were never measured, and hold a value of no meaning such as −1024, −2000 or 4095.

Left as they are, they would widen the window, move every threshold and count as air. They get the lowest value of the
rest, as voxels that are no number do. DICOM may declare padding; elsewhere it is known by how it lies.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

TRIES = 4  # values of padding in one scan
SAMPLE = 200_000  # voxels that stand for all where all are not needed
SAME = 0.01  # of the range: values that differ by no more are one value, which rounding or compression has spread
MIXED = 0.05  # of the rest: voxels at the edge of padding that were interpolated between it and the picture
BEYOND = 0.05  # of the way from the rest to the padding: a voxel at the edge that is farther out was interpolated
APART = 0.2  # of the range of the rest: padding is at least so far from it
FAR = 5.0  # of the whole range of the rest: if it is so far, it is padding whatever lies beside it
AIR = 0.15  # of the range of the rest: what is darker is taken for air
EDGE = 2  # voxels beside padding that interpolation may have spoilt


def fill_padding(array: NDArray[np.float32], declared: NDArray[np.bool_] | None = None) -> tuple[NDArray, str]:
    """The array with padding at the lowest value of the rest, and a sentence about it, empty where there is none.

    What is not declared is padding if it is one value, far below or above all others, that fills a region at the faces
    of the array, and the air around the head lies between it and the head. The background of a skull-stripped scan is
    left alone: it lies directly on the brain, and the rest has no air.

    Args:
        array: finite, three axes; not changed.
        declared: where the file itself says that there is padding.
    """
    mask = np.zeros(array.shape, bool) if declared is None else declared.copy()
    values = {float(v) for v in np.unique(array[mask])} if mask.any() else set()
    if mask.any() and not mask.all():
        array = np.where(mask, array[~mask].min(), array)
    for _ in range(TRIES):
        found = _rim(array, 1) if (found := _rim(array, -1)) is None else found
        if found is None:
            break
        rim, value = found
        array = np.where(rim, array[~(rim | mask)].min(), array)
        mask |= rim
        values.add(value)
    n = int(np.count_nonzero(mask))
    if not n:
        return array, ""
    named = " and ".join(f"{v:g}" for v in sorted(values)) if len(values) <= TRIES else "several values"
    return array, f"{n} voxels ({n / array.size:.1%}) are padding ({named}) and now have the scan's lowest value."


def _rim(array: NDArray, side: int) -> tuple[NDArray[np.bool_], float] | None:
    """Padding at one end of the values, the lowest (−1) or the highest (+1), and its value."""
    signed = -array if side > 0 else array  # padding is the lowest, whichever end
    sample = _sample(signed)
    value = float(signed.min())
    span = float(np.percentile(sample, 99.5)) - value
    if not span > 0 or not np.isfinite(span):
        return None
    limit = value + SAME * span
    beyond = sample[sample > limit]
    if len(beyond) < 0.02 * len(sample) or np.mean(beyond < value + APART / (1 + APART) * span) > MIXED:
        return None
    near = signed <= limit
    at_face = _touching(near)
    if at_face is None:
        return None
    edge = ndimage.binary_dilation(near, iterations=EDGE)
    rest = signed[~edge]
    if len(rest) < 0.02 * array.size or len(np.unique(_sample(rest))) < 32:
        return None  # nothing beside it, or labels
    low, high = float(rest.min()), float(np.percentile(_sample(rest), 99.5))
    if low - value < APART * (high - low):
        return None
    if low - value < FAR * (float(rest.max()) - low) and not _is_beside_air(array, edge):
        return None
    spoilt = ndimage.binary_dilation(at_face, iterations=EDGE) & (signed < low - BEYOND * (low - value))
    return at_face | spoilt, -value if side > 0 else value


def _sample(array: NDArray) -> NDArray[np.float64]:
    """Every so many-th voxel, which is quick; in double precision, which no value of a scan overflows."""
    return array.ravel()[:: max(1, array.size // SAMPLE)].astype(np.float64)


def _touching(near: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """The regions that touch a face of the array; None where they are not most of it, or next to nothing."""
    faces = [tuple(at if i == axis else slice(None) for i in range(3)) for axis, at in product(range(3), (0, -1))]
    if sum(np.count_nonzero(near[f]) for f in faces) < 0.005 * sum(near[f].size for f in faces):
        return None
    labels, _ = ndimage.label(near)
    numbers = np.unique(np.concatenate([labels[f].ravel() for f in faces]))
    at_face = np.isin(labels, numbers[numbers > 0])
    n = np.count_nonzero(at_face)
    return at_face if n >= max(0.9 * np.count_nonzero(near), 0.001 * near.size) else None


def _is_beside_air(array: NDArray, edge: NDArray[np.bool_]) -> bool:
    """Is a good part of the rest air, and most of what borders on the padding?"""
    rest = array[~edge]
    low, high = float(rest.min()), float(np.percentile(_sample(rest), 99.5))
    dark = low + AIR * (high - low)
    border = array[ndimage.binary_dilation(edge) & ~edge]
    return bool(np.mean(rest < dark) > 0.2 and len(border) and np.mean(border < dark) > 0.5)
