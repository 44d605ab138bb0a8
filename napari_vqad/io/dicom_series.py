"""Reads a DICOM series as a scan: one image per slice, or one enhanced image with many frames."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels import get_decoder

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.dicom_bare import name_syntax
from napari_vqad.io.dicom_geometry import Slice, SliceStack, stack_of
from napari_vqad.io.dicom_index import SeriesEntry, is_dicom, pick, series_in, series_of
from napari_vqad.io.dicom_open import BROKEN, open_dicom
from napari_vqad.io.dicom_pixels import check_pixels
from napari_vqad.io.padding import fill_padding


@dataclass(frozen=True)
class Series:
    """Source of a scan read from DICOM; its `Volume.header`. It contains no patient data.

    Attributes:
        uid: SeriesInstanceUID.
        number: SeriesNumber; None if missing.
        files: file of each slice, in array order; a multi-frame file appears once per frame.
        frames: frame number of each slice in its file, from 0.
        instances: SOPInstanceUID of each slice's file.
        opened: folder or file that the user opened; `read_series(opened, uid)` reads the same scan again.
    """

    uid: str
    number: int | None
    files: tuple[Path, ...]
    frames: tuple[int, ...]
    instances: tuple[str, ...]
    opened: Path


def read_series(path: str | Path, series: str | int | None = None) -> Volume:
    """Read one series.

    The file's array is (column, row, slice), with slices sorted along their normal; slice spacing is computed from
    their positions. `Volume.header` is a `Series`, `Volume.path` its first file. The series' description, which becomes
    the volume's name, is the only patient data in the volume.

    Padding, declared or not, is set to the lowest other value and noted in `Volume.notes`; see `padding.fill_padding`.

    Args:
        path: a folder, searched with its subfolders, or one file of a series; the other files are looked for in its
            folder and nearby folders: see `dicom_index.series_of`.
        series: SeriesNumber or SeriesInstanceUID, for a folder with several series; a file must belong to it.

    Raises:
        SeveralSeriesError: the folder holds several series and `series` is None.
        InputError: there is no such series, or it is not a scan: see `dicom_geometry.stack_of`; or its pixels are in
            colour, damaged, all equal, or in a compression for which no decoder is installed.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    if path.is_dir():
        chosen, notes = pick(path, series_in(path), series)
    elif not is_dicom(path):
        raise InputError(f"{path} is not a DICOM file: it does not bear that mark.")
    else:
        chosen, notes = series_of(path), ()
        if series is not None and str(series).strip() not in (chosen.uid, str(chosen.number)):
            raise InputError(f"{path} is one file of one series, {chosen.words}, and not of {series}.")
        folders = dict.fromkeys(p.parent for p, _ in chosen.images)
        if len(folders) > 1:
            notes += (f"Its slices were found in {len(folders)} folders: {', '.join(p.name for p in folders)}.",)
    if chosen.copies:
        files = "1 file was" if chosen.copies == 1 else f"{chosen.copies} files were"
        notes += (f"{files} passed over as a copy of an image that was read.",)
    where = f"{path} ({chosen.words})" if path.is_dir() else f"The series of {path}"
    stack, left_out = stack_of(chosen, where)
    array, padding, inverted = _grey(stack)
    if padding.all():
        raise InputError(f"{where} holds nothing but padding.")
    array, padded = fill_padding(array, padding)
    if array.min() == array.max():
        raise InputError(f"{where} is constant: every voxel is {array.flat[0]:g}.")
    notes += left_out + ((padded,) if padded else ())
    if inverted:
        notes += ("Grey values were turned round: in the files, bright is stored as dark (MONOCHROME1).",)
    header = _about(chosen, stack, path)
    return Volume.from_array(array, stack.affine, name=chosen.name, path=header.files[0], header=header, notes=notes)


def _about(chosen: SeriesEntry, stack: SliceStack, opened: Path) -> Series:
    instances = {path: str(header.get("SOPInstanceUID", "")) for path, header in chosen.images}
    files = tuple(s.path for s in stack.slices)
    frames = tuple(s.frame for s in stack.slices)
    return Series(chosen.uid, chosen.number, files, frames, tuple(instances[p] for p in files), opened)


def _grey(stack: SliceStack) -> tuple[NDArray[np.float32], NDArray[np.bool_], bool]:
    """Read a stack's grey values, its declared padding, and whether bright was stored as dark (MONOCHROME1).

    Grey values are float32 (column, row, slice), rescaled; MONOCHROME1 is inverted.
    """
    rows, columns = stack.slices[0].size
    array = np.empty((columns, rows, len(stack.slices)), np.float32)
    padding = np.zeros(array.shape, bool)
    inverted: set[bool] = set()
    known: tuple[Path | None, NDArray, NDArray] = (None, np.empty(0), np.empty(0))
    for k, one in enumerate(stack.slices):
        if one.path != known[0]:  # a multi-frame file is read once
            image = _image(one.path)
            pixels = _pixels(one, image)
            known = one.path, pixels, _padding(image, pixels)
            inverted.add(image.get("PhotometricInterpretation") == "MONOCHROME1")
        array[..., k] = known[1][one.frame].T * np.float32(one.slope) + np.float32(one.intercept)
        padding[..., k] = known[2][one.frame].T
    if len(inverted) > 1:
        raise InputError(
            f"The series of {stack.slices[0].path} stores bright as dark in some slices, and as bright in others."
        )
    if True in inverted and not padding.all():
        rest = array[~padding]
        array = rest.max() + rest.min() - array
    return array, padding, True in inverted


def _image(path: Path) -> Dataset:
    try:
        image = open_dicom(path)
        name_syntax(image)
        return image
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"{path} is cut short or damaged: it cannot be read.") from error


def _pixels(one: Slice, image: Dataset) -> NDArray:
    """Read the stored values of a file, (frame, row, column)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            syntax = image.file_meta.TransferSyntaxUID
            if syntax.is_compressed and not _can_decode(syntax):
                raise InputError(
                    f"{one.path} is compressed as {syntax.name}, for which no decoder is installed; install one that "
                    "pydicom knows (such as python-gdcm), or decompress the files."
                )
            check_pixels(image, one.size, one.path)
            pixels = image.pixel_array
    except InputError:
        raise
    except Exception as error:  # any decoder may be installed and may raise anything
        raise InputError(f"{one.path} is cut short or damaged: its pixels cannot be read.") from error
    pixels = pixels.reshape(-1, *pixels.shape[-2:])
    if pixels.shape[1:] != one.size or len(pixels) <= one.frame:
        raise InputError(f"{one.path} is damaged: it has not the pixels that its header promises.")
    return pixels


def _padding(image: Dataset, pixels: NDArray) -> NDArray[np.bool_]:
    """Mask padding: PixelPaddingValue, or the range from it to PixelPaddingRangeLimit (PS3.3 C.7.5.1.1.2).

    Both attributes have the pixels' bit depth; a value written with the wrong signedness is reinterpreted bit by bit.
    """
    bounds = []
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        try:
            value = int(image[keyword].value)
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if pixels.dtype.kind in "iu" and not np.iinfo(pixels.dtype).min <= value <= np.iinfo(pixels.dtype).max:
            value = int(np.array(value & (2 ** (8 * pixels.dtype.itemsize) - 1), "u8").astype(pixels.dtype))
        bounds.append(value)
    if "PixelPaddingValue" not in image or not bounds:
        return np.zeros(pixels.shape, bool)
    return (pixels >= min(bounds)) & (pixels <= max(bounds))


def _can_decode(syntax: str) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False
