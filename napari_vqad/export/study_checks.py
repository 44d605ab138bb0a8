"""Checks the arrays of a study: their sizes before they are read, and their values after."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_vqad.files.tensors import Entry

MOST = 30  # restorations of a slice, as in `Settings`
KNOTS = 64  # most knots of a grey-value curve, far more than are used

FLOATS = ("F32", "F64")
COUNT = "count/"  # prefix of a stage's name: the number of its samples for each slice


class NoStudyError(ValueError):
    """The arrays do not form a study; the message is for developers."""


def check_sizes(
    entries: Mapping[str, Entry], scan: tuple[int, ...], axis: int, has_gain: bool, old: bool = False
) -> None:
    """Check that the arrays are complete and their sizes fit each other.

    Args:
        entries: dtype and shape of each array, from the file's header.
        scan: shape of the scan's voxels.
        axis: canonical axis along which the grid's slices are stacked.
        has_gain: whether an array holds a gain per voxel.
        old: whether the file has format 1 or 2.

    Raises:
        NoStudyError: an array is missing, unknown, or has the wrong shape or dtype.
    """
    if "slices" not in entries or (old and "codes" not in entries):
        raise NoStudyError("arrays are missing")
    slices = entries["slices"].shape
    if len(slices) != 3 or 0 in slices:
        raise NoStudyError("slices are a stack")
    n, knots = slices[0], entries["levels"].shape if "levels" in entries else ()
    if len(knots) != 1 or not 2 <= knots[0] <= KNOTS:
        raise NoStudyError("a curve has knots")
    along = list(slices[1:])
    along.insert(axis, n)
    wanted: dict[str, tuple[tuple[str, ...], tuple[int | None, ...]]] = {
        "mask": (("U8",), (-(-prod(scan) // 8),)),
        "slices": (FLOATS, slices),
        "grid_mask": (("U8",), (-(-prod(slices) // 8),)),
        "position": (FLOATS, (n,)),
        "placement": (FLOATS, (4, 4)),
        "levels": (FLOATS, knots),
        "targets": (FLOATS, knots),
        **({"gain": (FLOATS, tuple(along))} if has_gain else {}),
    }
    wanted |= _old_arrays(entries, slices) if old else _stage_arrays(entries, n)
    if set(entries) != set(wanted):
        raise NoStudyError("arrays are missing or unknown")
    for name, (dtypes, shape) in wanted.items():
        entry = entries[name]
        fits = len(entry.shape) == len(shape) and all(b in (None, a) for a, b in zip(entry.shape, shape, strict=True))
        if not fits or entry.dtype not in dtypes:
            raise NoStudyError(f"{name} is of another size or kind")


def _old_arrays(
    entries: Mapping[str, Entry], slices: tuple[int, ...]
) -> dict[str, tuple[tuple[str, ...], tuple[int | None, ...]]]:
    n, codes = slices[0], entries["codes"].shape
    if len(codes) != 3 or 0 in codes:
        raise NoStudyError("codes are a stack")
    return {
        "codes": (("I16",), (n, *codes[1:])),
        "nll": (("F32",), (n, *codes[1:])),
        "has_nll": (("BOOL",), (n,)),
        "n_restored": (("I64",), (n,)),
        "restored": (("I16",), (None, *codes[1:])),
        "n_difference": (("I64",), (n,)),
        "difference": (("F16",), (None, *slices[1:])),
    }


def _stage_arrays(entries: Mapping[str, Entry], n: int) -> dict[str, tuple[tuple[str, ...], tuple[int | None, ...]]]:
    """Return the expected arrays of all stages; any name is allowed, but each stage needs an array of counts."""
    wanted: dict[str, tuple[tuple[str, ...], tuple[int | None, ...]]] = {}
    stages = [name.removeprefix(COUNT) for name in entries if name.startswith(COUNT)]
    for stage in stages:
        wanted[f"{COUNT}{stage}"] = ("I64",), (n,)
        for name, entry in entries.items():
            if name.startswith(f"{stage}/"):
                wanted[name] = (entry.dtype,), (None, *entry.shape[1:])
    if not stages or any(not entry.shape for name, entry in entries.items() if "/" in name):
        raise NoStudyError("no stage has results")
    return wanted


def check_values(arrays: Mapping[str, NDArray]) -> None:
    """Check the values of the arrays; floats are already known to be finite.

    Raises:
        NoStudyError: napari-vqad would not write such values.
    """
    if "n_restored" in arrays:
        _check_old_values(arrays)
    for key in (k for k in arrays if k.startswith(COUNT)):
        counts = arrays[key]
        if counts.min() < 0 or counts.max() > MOST:
            raise NoStudyError("another number of samples")
        lengths = {len(a) for name, a in arrays.items() if name.startswith(f"{key.removeprefix(COUNT)}/")}
        if lengths != ({int(counts.sum())} if counts.any() else set()):
            raise NoStudyError("another number of samples than was counted")
    placement, levels, targets = arrays["placement"], arrays["levels"], arrays["targets"]
    if not np.array_equal(placement[3], [0, 0, 0, 1]) or not usable(placement):
        raise NoStudyError("the grid lies nowhere")
    if (np.diff(levels) <= 0).any() or (np.diff(targets) <= 0).any():
        raise NoStudyError("a curve that does not rise")
    if "gain" in arrays and not (arrays["gain"] > 0).all():
        raise NoStudyError("a gain that is not above zero")
    if not arrays["mask"].any() or not arrays["grid_mask"].any():
        raise NoStudyError("a mask without voxels")


def _check_old_values(arrays: Mapping[str, NDArray]) -> None:
    counts, shown = arrays["n_restored"], arrays["n_difference"]
    for number, of in ((counts, "restored"), (shown, "difference")):
        if number.min() < 0 or number.max() > MOST or number.sum() != len(arrays[of]):
            raise NoStudyError(f"another number of {of}")
    if (shown > counts).any():
        raise NoStudyError("more pictures than restorations")


def usable(affine: NDArray) -> bool:
    """Say whether a 4×4 affine gives each axis a plausible length and an independent direction."""
    length = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or np.abs(affine).max() > 1e6 or not length.min() > 1e-4:
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / length)) > 1e-3)
