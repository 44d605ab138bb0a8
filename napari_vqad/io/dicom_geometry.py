"""Geometry of a DICOM series: sorts slices along their normal, and rejects those that do not form a regular stack.

For each slice, DICOM gives the centre of the first pixel (ImagePositionPatient) and the directions of rows and columns
(ImageOrientationPatient), in mm to the patient's Left, Posterior and Superior (PS3.3 C.7.6.2.1.1). Slice numbers and
times, SliceThickness and SpacingBetweenSlices are less informative and often wrong, so they are ignored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.limits import gib
from napari_vqad.io.dicom_index import SeriesEntry, frames_of, is_localizer

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TURNED = 2e-3  # largest difference of direction cosines attributed to rounding
UNEVEN = 0.05  # tolerance, as a share of the usual gap between slices


@dataclass(frozen=True)
class Slice:
    """One image, or one frame of an enhanced image.

    Attributes:
        path, frame: file and frame, from 0, of its pixels.
        size: rows, columns.
        orientation: (2, 3), directions of increasing column and row index, LPS.
        position: centre of its first pixel, mm LPS.
        spacing: mm between rows, and between columns.
        slope, intercept: stored value → grey value.
    """

    path: Path
    frame: int
    size: tuple[int, int]
    orientation: NDArray
    position: NDArray
    spacing: NDArray
    slope: float
    intercept: float


@dataclass(frozen=True)
class SliceStack:
    """Slices sorted along their normal.

    Attributes:
        slices: at least two.
        affine: 4×4, index (column, row, slice) → scanner mm to Right, Anterior, Superior.
    """

    slices: tuple[Slice, ...]
    affine: NDArray


def stack_of(series: SeriesEntry, where: str) -> tuple[SliceStack, tuple[str, ...]]:
    """Sort the slices of a series into a regular stack; also return notes for the user on omitted images.

    Args:
        series: its images; localizers are omitted, unless all images are localizers.
        where: name of the series in messages.

    Raises:
        InputError: a slice has no position, orientation or pixel spacing; or the slices differ in size, spacing or
            orientation, are fewer than two, exceed the size limit, share a position, leave gaps, or are sheared, as
            with a tilted gantry.
    """
    images = [(p, h) for p, h in series.images if series.is_localizer or not is_localizer(h)]
    if len(images) > 1 and any(frames_of(header) > 1 for _, header in images):
        raise InputError(f"{where} has several files of many frames each, which is not read.")
    left = len(series.images) - len(images)
    notes = (f"{left} localizer image{'s were' if left > 1 else ' was'} left out of the series.",) if left else ()
    slices = [one for path, header in images for one in _slices(path, header)]
    if len(slices) < 2:
        raise InputError(f"{where} has a single slice; a scan has at least two.")
    _check_alike(slices, where)
    rows, columns = slices[0].size
    if (n_bytes := 4 * rows * columns * len(slices)) > limits.VOXELS:
        raise InputError(
            f"{where} is too large: {len(slices)} slices of {rows}×{columns} are {gib(n_bytes)} as float32, and at "
            f"most {gib(limits.VOXELS)} are read."
        )
    return _stacked(slices, where), notes


def _slices(path: Path, header: Dataset) -> Iterator[Slice]:
    """Yield one slice for a single-frame image, or one for each frame of an enhanced image."""
    if header.get("SamplesPerPixel", 1) != 1 or not str(header.get("PhotometricInterpretation")).startswith("MONO"):
        raise InputError(f"{path} is a colour image; a scan has one grey value a voxel.")
    if "ModalityLUTSequence" in header:
        raise InputError(f"{path} has its grey values in a table (Modality LUT), which is not read.")
    size = int(header.Rows), int(header.Columns)
    frames = header.get("PerFrameFunctionalGroupsSequence")
    if not frames:
        if frames_of(header) > 1:
            raise InputError(f"{path} has many frames and does not say where each of them lies.")
        yield _slice(path, 0, size, header, header, header, header)
        return
    shared = next(iter(header.get("SharedFunctionalGroupsSequence") or ()), Dataset())
    for number, own in enumerate(frames):
        groups = (
            next(iter(own.get(name) or shared.get(name) or ()), Dataset())
            for name in (
                "PlaneOrientationSequence",
                "PlanePositionSequence",
                "PixelMeasuresSequence",
                "PixelValueTransformationSequence",
            )
        )
        yield _slice(path, number, size, *groups)


def _slice(
    path: Path, frame: int, size: tuple[int, int], turn: Dataset, place: Dataset, measures: Dataset, scale: Dataset
) -> Slice:
    orientation = _numbers(turn, "ImageOrientationPatient", 6)
    position = _numbers(place, "ImagePositionPatient", 3)
    spacing = _numbers(measures, "PixelSpacing", 2)
    if orientation is None or position is None or spacing is None or spacing.min() <= 0:
        raise InputError(f"{path} does not say where its pixels lie (orientation, position and pixel spacing).")
    orientation = orientation.reshape(2, 3)
    if np.abs(orientation @ orientation.T - np.eye(2)).max() > 0.01:
        raise InputError(f"{path} has an orientation whose rows and columns are not at right angles.")
    orientation /= np.linalg.norm(orientation, axis=1, keepdims=True)
    slope, intercept = _numbers(scale, "RescaleSlope", 1), _numbers(scale, "RescaleIntercept", 1)
    return Slice(
        path,
        frame,
        size,
        orientation,
        position,
        spacing,
        1.0 if slope is None else float(slope[0]),
        0.0 if intercept is None else float(intercept[0]),
    )


def _numbers(data: Dataset, keyword: str, n: int) -> NDArray | None:
    """Return the values of an attribute, or None if they are not n finite numbers."""
    try:
        found = np.atleast_1d(np.array(data.get(keyword), float))
    except (TypeError, ValueError):
        return None
    return found if found.shape == (n,) and np.isfinite(found).all() else None


def _check_alike(slices: list[Slice], where: str) -> None:
    sizes = sorted({s.size for s in slices})
    if len(sizes) > 1:
        told = ", ".join(f"{rows}×{columns}" for rows, columns in sizes[:4])
        raise InputError(f"{where} has slices of different sizes: {told} (rows × columns).")
    first = slices[0]
    if any(not np.allclose(s.spacing, first.spacing, rtol=1e-3) for s in slices):
        told = ", ".join(sorted({f"{s.spacing[0]:g}×{s.spacing[1]:g}" for s in slices})[:4])
        raise InputError(f"{where} has slices of different pixel spacing: {told} mm.")
    if any(np.abs(s.orientation - first.orientation).max() > TURNED for s in slices):
        raise InputError(f"{where} has slices that are turned against each other, as a localizer has.")


def _stacked(slices: list[Slice], where: str) -> SliceStack:
    """Sort slices along their normal and compute the affine."""
    row, column = slices[0].orientation
    normal = np.cross(row, column)
    slices = sorted(slices, key=lambda s: float(s.position @ normal))
    along = np.array([s.position @ normal for s in slices])
    gaps = np.diff(along)
    usual = float(np.median(gaps[gaps > 0.01])) if (gaps > 0.01).any() else 0.0
    double = int((gaps < UNEVEN * usual).sum()) if usual else len(gaps)
    if double:
        raise InputError(
            f"{where} has {len(slices)} images at {len(slices) - double} places, as of several echoes or time points; "
            "one image at each place makes a scan."
        )
    _check_gaps(slices, gaps, usual, normal, where)
    step = (slices[-1].position - slices[0].position) / (len(slices) - 1)
    askew = step - (step @ normal) * normal
    if np.linalg.norm(askew) * (len(slices) - 1) > 0.5 * slices[0].spacing.min():
        angle = np.degrees(np.arctan2(np.linalg.norm(askew), step @ normal))
        raise InputError(f"{where} is stacked askew by {angle:.1f}°, as with a tilted gantry; resample it first.")
    affine = np.eye(4)
    affine[:3, 0] = row * slices[0].spacing[1]
    affine[:3, 1] = column * slices[0].spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = slices[0].position
    return SliceStack(tuple(slices), TO_RAS @ affine)


def _check_gaps(slices: list[Slice], gaps: NDArray, usual: float, normal: NDArray, where: str) -> None:
    """Raise InputError if a gap differs from the usual one."""
    wide = np.flatnonzero(np.abs(gaps - usual) > UNEVEN * usual)
    if not len(wide):
        return
    at = int(wide[0])
    first, second = _place(slices[at], normal), _place(slices[at + 1], normal)
    times = gaps[wide] / usual
    if (times > 1.5).all() and np.abs(times - times.round()).max() < 2 * UNEVEN:
        missing = int((times.round() - 1).sum())
        more = f" and at {len(wide) - 1} more place{'s' if len(wide) > 2 else ''}" if len(wide) > 1 else ""
        lack = "slice is" if missing == 1 else "slices are"
        raise InputError(f"{where} is not whole: {missing} {lack} missing, between {first} and {second}{more}.")
    raise InputError(
        f"{where} has uneven gaps between its slices: {len(wide)} of {len(gaps)} differ from {usual:.2f} mm, the first "
        f"with {gaps[at]:.2f} mm between {first} and {second}."
    )


def _place(one: Slice, normal: NDArray) -> str:
    """Describe a slice's position along the patient axis nearest to its normal: "S 12.0 mm (IM0007)"."""
    axis = int(np.abs(normal).argmax())
    mm = float((TO_RAS[:3, :3] @ one.position)[axis])
    name = one.path.name + (f", frame {one.frame + 1}" if one.frame else "")
    return f"{('RL', 'AP', 'SI')[axis][mm < 0]} {abs(mm):.1f} mm ({name})"
