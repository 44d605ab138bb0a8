"""Reads NIfTI in any axis order, sign, spacing and dtype, and writes maps in the scan's own space.

`nifti_geometry` determines the position of the voxels.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import logger as nibabel_logger
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.volumeutils import apply_read_scaling
from nibabel.wrapstruct import WrapStructError

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.atomic import atomic_write
from napari_vqad.files.limits import gib
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti_geometry import geometry_of
from napari_vqad.io.padding import fill_padding
from napari_vqad.io.unpack import read_promised

ENDINGS = (".nii", ".nii.gz")
LONGEST_HEADER = 540  # bytes, of NIfTI-2
LARGEST_LABEL = 2**24  # float32 cannot represent all larger whole numbers
PAIR = {".hdr": ".img", ".hdr.gz": ".img.gz"}  # header and voxels in separate files; either may be opened
BROKEN = (
    ImageFileError,
    WrapStructError,
    HeaderDataError,
    HeaderTypeError,
    OSError,
    ValueError,
    OverflowError,
    KeyError,
)


def read_scan(path: str | Path) -> Volume:
    """Read one 3D scan.

    Trailing axes of length one or zero are dropped. Voxels that are not finite are set to the lowest finite value, and
    padding to the lowest other value. The volume's notes report this, and any guesses that
    `nifti_geometry.geometry_of` made about the geometry.

    Args:
        path: a .nii or .nii.gz file, or either file of a pair .hdr and .img.

    Raises:
        InputError: the file is missing, broken, constant, not a 3D greyscale image, or without usable geometry.
    """
    path = Path(path)
    header, array, unpacking = read_array(path)
    geometry = geometry_of(header, array.shape, path)
    finite = np.isfinite(array)
    if not finite.any():
        raise InputError(f"{path} has no voxel that is a number.")
    notes = list(unpacking)
    if not finite.all():
        array = np.where(finite, array, array[finite].min())
        n = int(np.count_nonzero(~finite))
        notes.append(f"{n} voxels ({n / array.size:.1%}) were not numbers and now have the scan's lowest value.")
    if array.min() == array.max():
        raise InputError(f"{path} is constant: every voxel is {array.flat[0]:g}.")
    array, padded = fill_padding(array)
    if padded:
        notes.append(padded)
    volume = Volume.from_array(
        array,
        geometry.file_affine,
        name=_stem(path),
        path=path,
        header=header,
        notes=(*notes, *geometry.notes),
        side_known=geometry.side_known,
    )
    return replace(volume, affine=np.diag([*[geometry.mm] * 3, 1.0]) @ volume.affine)


def read_mask(path: str | Path, volume: Volume) -> np.ndarray:
    """Read a mask of a scan: bool (R, A, S) on its voxels, True where the file is above zero.

    Raises:
        InputError: the file cannot be read, its shape or position differs from the scan's, or it has no voxels.
    """
    mask = _read_beside(path, volume, "mask") > 0
    if not mask.any():
        raise InputError(f"The mask {path} has no voxels.")
    return mask


def read_labels(path: str | Path, volume: Volume) -> np.ndarray:
    """Read labels of a scan: int32 (R, A, S) on its voxels; all may be zero.

    Raises:
        InputError: the file cannot be read, its shape or position differs from the scan's, or a label exceeds 2**24.
    """
    found = np.rint(_read_beside(path, volume, "label file"))
    if np.abs(found).max() > LARGEST_LABEL:
        raise InputError(
            f"The label file {path} has a label of {np.abs(found).max():g}; labels are small whole numbers."
        )
    return found.astype(np.int32)


def write_map(path: str | Path, array: np.ndarray, like: Volume, description: str = "") -> None:
    """Write a canonical (R, A, S) array atomically, in the axis order and geometry of the scan's file.

    Args:
        path: ending in .nii or .nii.gz.
        array: floats are written as float32, booleans as uint8, integers as integers of at most 32 bits.
        like: the scan of the array. Its qform, sform, their codes and its units are copied exactly.
        description: up to 79 characters for the header.

    Raises:
        InputError: the file cannot be written.
        ValueError: the array does not have the scan's shape.
    """
    path = Path(path)
    if array.shape != like.voxels.shape:
        raise ValueError(f"A map of the shape {array.shape} does not belong to a scan of {like.voxels.shape}.")
    data = np.ascontiguousarray(like.to_file(array))
    image = _image(data.astype(_stored(data.dtype)), like)
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    with atomic_write(path) as file:
        nib.save(image, file)


def is_nifti(path: str | Path) -> bool:
    """Say whether the file name ends in .nii or .nii.gz."""
    return str(path).lower().endswith(ENDINGS)


def is_pair(path: str | Path) -> bool:
    """Say whether this is one file of a NIfTI pair .hdr and .img, by its header; other formats use these names, too."""
    try:
        header = _files_of(Path(path))[0]
        return bool(_kinds(read_promised(header, LONGEST_HEADER, len)[0]))
    except (InputError, OSError):
        return False


def shape_of(path: Path) -> tuple[int, ...]:
    """Return the shape in a file's header, without trailing axes of length one or zero; () if it is broken."""
    try:
        raw, _ = read_promised(_files_of(path)[0], LONGEST_HEADER, len)
        header = _kinds(raw)[0](raw[: _kinds(raw)[0].sizeof_hdr], check=False)
        return _without_trailing(header.get_data_shape())
    except (InputError, IndexError, *BROKEN):
        return ()


def read_array(path: Path, axes: int = 3) -> tuple[nib.Nifti1Header, np.ndarray, tuple[str, ...]]:
    """Read an array with a number of axes.

    Returns:
        The header as it is in the file; the values, float32 and scaled, without trailing axes; and notes.

    Raises:
        InputError: the file is missing or broken, or has another number of axes.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    if not path.is_file():
        raise InputError(f"{path} is not a file.")
    about, body = _files_of(path)
    if about == body:
        raw, notes = read_promised(path, LONGEST_HEADER, partial(_promised, path))
    else:
        raw, notes = read_promised(about, LONGEST_HEADER, partial(_header_alone, path))
    kinds = _kinds(raw)
    try:
        with _quiet():
            header = kinds[0](raw[: kinds[0].sizeof_hdr], check=False)
            mended = header.copy()
            mended.check_fix()  # raises on unreadable headers; its repairs, such as of a pixdim of 0, are not used
            shape, dtype = tuple(map(int, mended.get_data_shape())), mended.get_data_dtype()
            slope, intercept = mended.get_slope_inter()
            begin = mended.get_data_offset()
    except BROKEN as error:
        raise InputError(f"{path} has a broken NIfTI header.") from error
    if about == body:
        begin = max(begin, header.single_vox_offset)
    else:
        size = math.prod(max(n, 1) for n in shape) * dtype.itemsize
        raw, more = read_promised(body, 1, lambda _: begin + size)
        notes = (*notes, *more)
    shape = _without_trailing(shape)
    if dtype.kind not in "iufb":
        raise InputError(f"{path} is a colour or complex image; a scan has one number a voxel.")
    if 0 in shape:
        raise InputError(f"{path} is empty: its shape is {_size(shape)}.")
    if len(shape) != axes or min(shape) < 2:
        wanted = "a scan has three dimensions" if axes == 3 else "a diffusion scan has four dimensions"
        raise InputError(f"{path} has the shape {_size(shape)}; {wanted} of at least two voxels.")
    try:
        stored = np.frombuffer(raw, dtype, math.prod(shape), begin).reshape(shape, order="F")
        # Scaled values are converted to float32, enough for 16-bit scanner data; overflow becomes infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            array = np.asarray(apply_read_scaling(stored, slope, intercept)).astype(np.float32)
    except (*BROKEN, MemoryError) as error:
        raise InputError(f"{body} is cut short or damaged: its voxels cannot be read.") from error
    return header, array, notes


def _kinds(raw: bytes) -> list[type[nib.Nifti1Header]]:
    """Return the NIfTI header classes that may match the first bytes of a file."""
    return [k for k in (nib.Nifti1Header, nib.Nifti2Header) if k.may_contain_header(raw)]


def _files_of(path: Path) -> tuple[Path, Path]:
    """Return the header file and the voxel file; they are the same unless the scan is a pair."""
    name = path.name.lower()
    if name.endswith(ENDINGS):
        return path, path
    for pair in PAIR.items():
        ending = next((e for e in pair if name.endswith(e)), None)
        if ending is None:
            continue
        # The other file's ending has the same case as this one's.
        letters = path.name[-len(ending) :]
        header, voxels = (e.upper() if letters.isupper() else e for e in pair)
        files = [path.with_name(path.name[: -len(ending)] + e) for e in (header, voxels)]
        for file in files:
            if not file.is_file():
                raise InputError(f"{path} is one file of a pair, header and voxels, and {file.name} is not beside it.")
        return files[0], files[1]
    raise InputError(f"{path} is not a NIfTI file: its name ends neither in .nii or .nii.gz nor in .hdr or .img.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep nibabel from logging broken headers; nibabel's own suppressor does not restore the level."""
    level = nibabel_logger.level
    nibabel_logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        nibabel_logger.setLevel(level)


def _promised(path: Path, head: bytes) -> int:
    """Compute the size of a file in bytes from its header; if the header is broken, only the header's size.

    Raises:
        InputError: the file is not NIfTI, or its voxels or header exceed the limit.
    """
    if not (kinds := _kinds(head)):
        raise InputError(f"{path} is not a NIfTI file: it does not begin with such a header.")
    try:
        with _quiet():
            header = kinds[0](head[: kinds[0].sizeof_hdr], check=False)
            shape, dtype = header.get_data_shape(), header.get_data_dtype()
            offset = int(header["vox_offset"])
    except (*BROKEN, KeyError):  # KeyError: unknown data type
        return len(head)
    count = math.prod(max(int(n), 1) for n in shape)
    if 4 * count > limits.VOXELS:
        raise InputError(
            f"{path} is too large: its header promises {_size(shape)} voxels, {gib(4 * count)} as float32, and at most "
            f"{gib(limits.VOXELS)} are read."
        )
    if offset > limits.NIFTI_HEADER:
        raise InputError(
            f"{path} is too large: its voxels begin after {gib(offset)}, and at most {gib(limits.NIFTI_HEADER)} of a "
            "header are read."
        )
    return max(offset, len(head)) + count * dtype.itemsize


def _header_alone(path: Path, head: bytes) -> int:
    """Check the header file of a pair like `_promised`; return its own size, since it holds no voxels."""
    _promised(path, head)
    return len(head)


def _read_beside(path: str | Path, volume: Volume, what: str) -> np.ndarray:
    """Read a mask or labels on the canonical voxels of a scan; NaN becomes zero.

    A header may state several affines, and the program that wrote the mask may have used another one than we do.
    Therefore the file fits if any of its affines matches any of the scan's.
    """
    path = Path(path)
    header, array, _ = read_array(path)
    order = io_orientation(volume.file_affine)
    shape = volume.to_file(volume.voxels).shape
    apart = np.inf
    stated = geometry_of(header, array.shape, path).stated
    for mine, scans in product(stated, _stated(volume, shape)):
        turn = ornt_transform(io_orientation(mine), io_orientation(scans))
        turned = apply_orientation(array, turn)
        if turned.shape != shape:
            continue
        apart = min(apart, _apart(mine @ inv_ornt_aff(turn, array.shape), scans, shape))
        if apart <= volume.spacing.max():
            return np.ascontiguousarray(apply_orientation(np.nan_to_num(turned), order))
    if np.isinf(apart):
        found = Volume.from_array(array, stated[0])
        raise InputError(
            f"The {what} {path} has {_size(found.voxels.shape)} voxels and {volume.name} has "
            f"{_size(volume.voxels.shape)} (right, anterior, superior); they must agree."
        )
    raise InputError(
        f"The {what} {path} lies at another place than {volume.name}: their affines are {apart:.1f} mm apart."
    )


def _stated(volume: Volume, shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Return the affines, file voxel → mm, stated in a scan's NIfTI header; without a header, the scan's own."""
    if isinstance(volume.header, nib.Nifti1Header):
        return geometry_of(volume.header, shape, volume.path or Path(volume.name)).stated
    return (volume.affine @ np.linalg.inv(inv_ornt_aff(io_orientation(volume.file_affine), shape)),)


def _apart(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> float:
    """Compute the largest distance in mm between two affines; it is reached at a corner of the array."""
    corners = np.array([[*corner, 1] for corner in product(*((0, n - 1) for n in shape))], float).T
    return float(np.linalg.norm(((one - other) @ corners)[:3], axis=0).max())


def _image(data: np.ndarray, like: Volume) -> nib.Nifti1Image:
    """Make an image with a scan's geometry; the header is copied, since setting the qform again would round it."""
    if not isinstance(like.header, nib.Nifti1Header):
        image = nib.Nifti1Image(data, like.file_affine)
        image.header.set_xyzt_units("mm")
        return image
    header = like.header.copy()
    header.extensions.clear()  # the scanner's private data do not describe the map
    header.set_data_dtype(data.dtype)
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0
    header["vox_offset"] = 0  # 0: nibabel chooses the smallest offset
    header["aux_file"] = b""
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    return kind(data, None, header)


def _stored(dtype: np.dtype) -> np.dtype:
    """Return the dtype to store; viewers cannot read 64-bit or half-precision types."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32 if dtype.kind == "f" else np.int32) if dtype.itemsize > 4 or dtype.kind == "f" else dtype


def _without_trailing(shape: Sequence[int]) -> tuple[int, ...]:
    """Drop axes of length one or zero behind the third."""
    found = tuple(map(int, shape))
    while len(found) > 3 and found[-1] in (0, 1):
        found = found[:-1]
    return found


def _stem(path: Path) -> str:
    return re.sub(r"\.(nii|hdr|img)(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)
