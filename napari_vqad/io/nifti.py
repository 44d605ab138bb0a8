"""NIfTI in any axis order, sign, spacing and dtype in; maps in the scan's own space out."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.imageglobals import logger as nibabel_logger
from nibabel.spatialimages import HeaderDataError, HeaderTypeError
from nibabel.wrapstruct import WrapStructError

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.limits import gib
from napari_vqad.io.unpack import read_promised
from napari_vqad.io.whole import whole
from napari_vqad.volume import Volume

ENDINGS = (".nii", ".nii.gz")
LONGEST_HEADER = 540  # bytes, of NIfTI-2
LARGEST_LABEL = 2**24  # beyond it float32 does not tell whole numbers apart
MM = {1: 1000.0, 3: 0.001}  # NIfTI's codes for metres and micrometres; any other is taken for mm
BROKEN = (ImageFileError, WrapStructError, HeaderDataError, HeaderTypeError, OSError, ValueError, OverflowError)


def read_scan(path: str | Path) -> Volume:
    """Read one 3D scan.

    Trailing axes of length one are dropped. Voxels that are not finite become the lowest finite value, and the
    volume's notes say so, as they do when the header does not say which side is right.

    Raises:
        InputError: the file is missing, broken, no 3D greyscale image, without content, or without usable geometry.
    """
    path = Path(path)
    image, array, unpacking = _read(path)
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
    if not (int(image.header["sform_code"]) or int(image.header["qform_code"])):
        notes.append("The header does not say how the head lies; left and right may be swapped.")
    return _place(array, image, name=_stem(path), path=path, header=image.header.copy(), notes=tuple(notes))


def read_mask(path: str | Path, volume: Volume) -> np.ndarray:
    """Read a mask of a scan: bool (R, A, S) on its voxels, true where the file is above zero.

    Raises:
        InputError: as `read_scan`; or it has another shape or place than the scan, or no voxels.
    """
    mask = _read_beside(path, volume, "mask") > 0
    if not mask.any():
        raise InputError(f"The mask {path} has no voxels.")
    return mask


def read_labels(path: str | Path, volume: Volume) -> np.ndarray:
    """Read labels of a scan: int32 (R, A, S) on its voxels; none at all is an answer, too.

    Raises:
        InputError: as `read_scan`; or they have another shape or place than the scan.
    """
    found = np.rint(_read_beside(path, volume, "label file"))
    if np.abs(found).max() > LARGEST_LABEL:
        raise InputError(
            f"The label file {path} has a label of {np.abs(found).max():g}; labels are small whole numbers."
        )
    return found.astype(np.int32)


def write_map(path: str | Path, array: np.ndarray, like: Volume, description: str = "") -> None:
    """Write a canonical (R, A, S) array in the file's own axis order, with its geometry, whole or not at all.

    Args:
        path: ending in .nii or .nii.gz.
        array: floats are written as float32; booleans and integers as the integers that hold them.
        like: the scan it belongs to. Its qform, sform, their codes and its units are kept to the bit.
        description: up to 79 characters for the header.

    Raises:
        InputError: the file cannot be written there.
    """
    path = Path(path)
    if array.shape != like.voxels.shape:
        raise ValueError(f"A map of the shape {array.shape} does not belong to a scan of {like.voxels.shape}.")
    data = np.ascontiguousarray(like.to_file(array))
    image = _image(data.astype(_stored(data.dtype)), like)
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    with whole(path) as file:
        nib.save(image, file)


def is_nifti(path: str | Path) -> bool:
    """Does the name say so?"""
    return str(path).lower().endswith(ENDINGS)


def _read(path: Path) -> tuple[nib.Nifti1Image, np.ndarray, tuple[str, ...]]:
    """An image; its voxels, float32 with scale factors applied, trailing axes of length one dropped; and notes."""
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    if not path.is_file():
        raise InputError(f"{path} is not a file.")
    if not is_nifti(path):
        raise InputError(f"{path} is not a NIfTI file: its name ends neither in .nii nor in .nii.gz.")
    raw, notes = read_promised(path, LONGEST_HEADER, partial(_promised, path))
    kinds = _kinds(raw)
    try:
        with _quiet():
            image = kinds[0].from_bytes(raw)
    except BROKEN as error:
        raise InputError(f"{path} has a broken NIfTI header.") from error
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if image.get_data_dtype().kind not in "iufb":
        raise InputError(f"{path} is a colour or complex image; a scan has one number a voxel.")
    if 0 in shape:
        raise InputError(f"{path} is empty: its shape is {_size(shape)}.")
    if len(shape) != 3 or min(shape) < 2:
        raise InputError(f"{path} has the shape {_size(shape)}; a scan has three dimensions of at least two voxels.")
    if not _usable(image.affine):
        raise InputError(f"{path} has an affine that does not say where its voxels are.")
    try:
        # Scale factors are applied here, in float32: enough for any scanner's 16 bits. What overflows it is infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            array = np.asanyarray(image.dataobj).reshape(shape).astype(np.float32)
    except (*BROKEN, MemoryError) as error:
        raise InputError(f"{path} is cut short or damaged: its voxels cannot be read.") from error
    return image, array, notes


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep nibabel from printing a line of its own on a broken header; its own suppressor forgets to undo itself."""
    level = nibabel_logger.level
    nibabel_logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        nibabel_logger.setLevel(level)


def _kinds(raw: bytes) -> list[type[nib.Nifti1Image]]:
    """The kinds of NIfTI, 1 or 2, that these first bytes may be of."""
    return [k for k in (nib.Nifti1Image, nib.Nifti2Image) if k.header_class.may_contain_header(raw)]


def _promised(path: Path, head: bytes) -> int:
    """How many bytes a file that begins so has, as its header says; those of the header alone where that is broken.

    Raises:
        InputError: the file is no NIfTI, or its voxels or its header are beyond the limit.
    """
    if not (kinds := _kinds(head)):
        raise InputError(f"{path} is not a NIfTI file: it does not begin with such a header.")
    kind = kinds[0].header_class
    try:
        with _quiet():
            header = kind(head[: kind.sizeof_hdr], check=False)
            shape, dtype = header.get_data_shape(), header.get_data_dtype()
            offset = int(header["vox_offset"])
    except (*BROKEN, KeyError):  # KeyError: a data type that nobody knows
        return len(head)
    count = prod(max(int(n), 1) for n in shape)
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


def _read_beside(path: str | Path, volume: Volume, what: str) -> np.ndarray:
    """A mask or labels on the canonical voxels of a scan; what is no number counts as zero."""
    image, array, _ = _read(Path(path))
    found = _place(np.nan_to_num(array), image, name=_stem(Path(path)))
    if found.voxels.shape != volume.voxels.shape:
        raise InputError(
            f"The {what} {path} has {_size(found.voxels.shape)} voxels and {volume.name} has "
            f"{_size(volume.voxels.shape)} (right, anterior, superior); they must agree."
        )
    # At the corners, where a turn or another spacing shows most.
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float).T
    corners[:3] *= np.array(volume.voxels.shape)[:, None] - 1
    apart = np.linalg.norm(((found.affine - volume.affine) @ corners)[:3], axis=0).max()
    if apart > volume.spacing.max():
        raise InputError(
            f"The {what} {path} lies at another place than {volume.name}: their affines are {apart:.1f} mm apart."
        )
    return found.voxels


def _place(array: np.ndarray, image: nib.Nifti1Image, **about: Any) -> Volume:
    """A volume whose canonical affine is in mm, whatever the file's unit of length."""
    volume = Volume.from_array(array, image.affine, **about)
    scale = MM.get(int(image.header["xyzt_units"]) & 7, 1.0)  # the upper bits are the unit of time
    return replace(volume, affine=np.diag([scale, scale, scale, 1.0]) @ volume.affine)


def _usable(affine: np.ndarray) -> bool:
    """Does an affine give each axis a length and a direction of its own?"""
    if not np.isfinite(affine).all():
        return False
    length = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(length.min() > 0 and abs(np.linalg.det(affine[:3, :3] / length)) > 1e-3)


def _image(data: np.ndarray, like: Volume) -> nib.Nifti1Image:
    """An image with the geometry of a scan; its header is copied, since a qform set anew is rounded."""
    if not isinstance(like.header, nib.Nifti1Header):
        image = nib.Nifti1Image(data, like.file_affine)
        image.header.set_xyzt_units("mm")
        return image
    header = like.header.copy()
    header.extensions.clear()  # a scanner's private notes are not about the map
    header.set_data_dtype(data.dtype)
    header.set_slope_inter(1, 0)
    header.set_intent("none")
    header["cal_min"] = header["cal_max"] = 0
    header["vox_offset"] = 0  # as near as can be
    header["aux_file"] = b""
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    return kind(data, None, header)


def _stored(dtype: np.dtype) -> np.dtype:
    """What a viewer can read: no 64 bits, no half floats."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    return np.dtype(np.float32 if dtype.kind == "f" else np.int32) if dtype.itemsize > 4 or dtype.kind == "f" else dtype


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)
