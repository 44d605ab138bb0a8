"""NIfTI in any axis order, sign, spacing and dtype in; maps in the scan's own space out."""

from __future__ import annotations

import os
import tempfile
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError

from napari_vqad.errors import InputError
from napari_vqad.volume import Volume

ENDINGS = (".nii", ".nii.gz")


def read_scan(path: str | Path) -> Volume:
    """Read one 3D scan.

    Trailing axes of length one are dropped. Voxels that are not finite become the lowest finite value, and the
    volume's notes say so.

    Raises:
        InputError: the file is missing, broken, no 3D greyscale image, without content, or without usable geometry.
    """
    path = Path(path)
    image, array = _read(path)
    finite = np.isfinite(array)
    if not finite.any():
        raise InputError(f"{path} has no voxel that is a number.")
    notes = []
    if not finite.all():
        array = np.where(finite, array, array[finite].min())
        notes.append(
            f"{np.mean(~finite):.1%} of the voxels were not numbers and now have the lowest value of the scan."
        )
    if array.min() == array.max():
        raise InputError(f"{path} is constant: every voxel is {array.flat[0]:g}.")
    return Volume.from_array(
        array, image.affine, name=_stem(path), path=path, header=image.header.copy(), notes=tuple(notes)
    )


def read_mask(path: str | Path, volume: Volume) -> np.ndarray:
    """Read a mask of a scan: bool (R, A, S) on its voxels, true where the file is above zero.

    Raises:
        InputError: as `read_scan`; or it has another shape or place than the scan, or no voxels.
    """
    path = Path(path)
    image, array = _read(path)
    mask = Volume.from_array(np.nan_to_num(array), image.affine, name=_stem(path), path=path)
    if mask.voxels.shape != volume.voxels.shape:
        raise InputError(
            f"The mask {path} has {_size(mask.voxels.shape)} voxels and {volume.name} has "
            f"{_size(volume.voxels.shape)} (right, anterior, superior); they must agree."
        )
    corners = np.array([[0, 0, 0, 1], [*np.array(mask.voxels.shape) - 1, 1]]).T
    if np.abs((mask.affine - volume.affine) @ corners).max() > volume.spacing.max():
        raise InputError(
            f"The mask {path} lies at another place than {volume.name}: their affines differ by over a voxel."
        )
    if not (mask.voxels > 0).any():
        raise InputError(f"The mask {path} has no voxels.")
    return mask.voxels > 0


def write_map(path: str | Path, array: np.ndarray, like: Volume, description: str = "") -> None:
    """Write a canonical (R, A, S) array in the file's own axis order, with its affine, whole or not at all.

    Args:
        path: ending in .nii or .nii.gz.
        array: float32, or an integer type for labels.
        like: the scan it belongs to.
        description: up to 79 characters for the header.
    """
    path = Path(path)
    data = np.ascontiguousarray(like.to_file(array))
    image = nib.Nifti1Image(data.astype(np.uint8) if data.dtype == bool else data, like.file_affine)
    if isinstance(like.header, nib.Nifti1Header):
        image.header.set_xyzt_units(*like.header.get_xyzt_units())
        image.set_sform(like.file_affine, int(like.header["sform_code"]) or 1)
        # A qform cannot hold shears; a scan that has one keeps only the sform.
        code = int(like.header["qform_code"])
        if code and np.allclose(like.header.get_qform(), like.file_affine, atol=1e-3):
            image.set_qform(like.file_affine, code)
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix="".join(_ending(path)))
    os.close(handle)
    try:
        nib.save(image, temporary)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def is_nifti(path: str | Path) -> bool:
    """Does the name say so?"""
    return str(path).lower().endswith(ENDINGS)


def _read(path: Path) -> tuple[nib.Nifti1Image, np.ndarray]:
    if not path.exists():
        raise InputError(f"{path} does not exist.")
    if not path.is_file():
        raise InputError(f"{path} is not a file.")
    if not is_nifti(path):
        raise InputError(f"{path} is not a NIfTI file: its name ends neither in .nii nor in .nii.gz.")
    try:
        image = nib.load(path)
    except (ImageFileError, EOFError, OSError, ValueError, zlib.error) as error:
        raise InputError(f"{path} is not a NIfTI file, or its header is broken.") from error
    shape = tuple(image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if image.get_data_dtype().kind not in "iufb":
        raise InputError(f"{path} is a colour or complex image; a scan has one number a voxel.")
    if len(shape) != 3 or min(shape) < 2:
        raise InputError(f"{path} has the shape {_size(shape)}; a scan has three dimensions of at least two voxels.")
    affine = image.affine
    if affine is None or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"{path} has an affine that does not say where its voxels are.")
    try:
        # Scale factors are applied here, in float32: enough for any scanner's 16 bits.
        array = np.asanyarray(image.dataobj).reshape(shape).astype(np.float32)
    except (EOFError, OSError, ValueError, zlib.error) as error:
        raise InputError(f"{path} is cut short or damaged: its voxels cannot be read.") from error
    return image, array


def _ending(path: Path) -> tuple[str, ...]:
    return (".nii", ".gz") if path.name.lower().endswith(".gz") else (".nii",)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(str(n) for n in shape)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
