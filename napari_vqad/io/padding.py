"""Padding: voxels that were never measured and hold a meaningless value such as −1024, −2000 or 4095.

Unchanged, they would widen the display window, shift every threshold and count as air. They are set to the lowest other
value, like voxels that are not finite. DICOM may declare padding; otherwise it is recognised by its position and value.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# "The rest" are the voxels that are not padding.
TRIES = 4  # most padding values in one scan
SAMPLE = 200_000  # voxels sampled for percentiles
SAME = 0.01  # of the range: closer values count as one, since rounding or compression may spread it
MIXED = 0.05  # of the rest: most voxels that may be interpolated between padding and the picture
BEYOND = 0.05  # of the distance from the rest to padding: edge voxels closer to padding than this were interpolated
APART = 0.2  # of the range of the rest: least distance of padding from the rest
FAR = 5.0  # of the full range of the rest: at this distance it is padding, even if not next to air
AIR = 0.15  # of the range of the rest: darker voxels count as air
EDGE = 2  # voxels next to padding that interpolation may have changed


def fill_padding(array: NDArray[np.float32], declared: NDArray[np.bool_] | None = None) -> tuple[NDArray, str]:
    """Set padding to the lowest value of the rest; also return a sentence on it, empty if there is no padding.

    Undeclared padding is one value, far below or above all others, that fills a region at the faces of the array, with
    air between it and the head. The background of a skull-stripped scan is not padding: it touches the brain, and the
    rest has no air.

    Args:
        array: finite, three axes; not changed.
        declared: padding declared in the file.
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
    """Find padding at the lowest (−1) or highest (+1) value; return its mask and value, or None."""
    signed = -array if side > 0 else array  # so that padding is the lowest value in both cases
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
        return None  # nothing but padding, or labels
    low, high = float(rest.min()), float(np.percentile(_sample(rest), 99.5))
    if low - value < APART * (high - low):
        return None
    if low - value < FAR * (float(rest.max()) - low) and not _is_beside_air(array, edge):
        return None
    spoilt = ndimage.binary_dilation(at_face, iterations=EDGE) & (signed < low - BEYOND * (low - value))
    return at_face | spoilt, -value if side > 0 else value


def _sample(array: NDArray) -> NDArray[np.float64]:
    """Sample about `SAMPLE` voxels, for speed; as float64, so that differences do not overflow."""
    return array.ravel()[:: max(1, array.size // SAMPLE)].astype(np.float64)


def _touching(near: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Mask the regions that touch a face of the array; None if they are under 90% of `near`, or too small."""
    faces = [tuple(at if i == axis else slice(None) for i in range(3)) for axis, at in product(range(3), (0, -1))]
    if sum(np.count_nonzero(near[f]) for f in faces) < 0.005 * sum(near[f].size for f in faces):
        return None
    labels, _ = ndimage.label(near)
    numbers = np.unique(np.concatenate([labels[f].ravel() for f in faces]))
    at_face = np.isin(labels, numbers[numbers > 0])
    n = np.count_nonzero(at_face)
    return at_face if n >= max(0.9 * np.count_nonzero(near), 0.001 * near.size) else None


def _is_beside_air(array: NDArray, edge: NDArray[np.bool_]) -> bool:
    """Say whether over 20% of the rest, and most of the voxels next to the padding, are air."""
    rest = array[~edge]
    low, high = float(rest.min()), float(np.percentile(_sample(rest), 99.5))
    dark = low + AIR * (high - low)
    border = array[ndimage.binary_dilation(edge) & ~edge]
    return bool(np.mean(rest < dark) > 0.2 and len(border) and np.mean(border < dark) > 0.5)
