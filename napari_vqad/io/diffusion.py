"""Reads diffusion scans: a NIfTI file of four axes with the gradient of each measurement beside it.

Gradients are written in two conventions:

* **FSL** (`NAME.bval` and `NAME.bvec`): b-values, and directions along the axes of the stored array. Where the
  determinant of the affine is positive, the sign of the first component is reversed
  (https://fsl.fmrib.ox.ac.uk/fsl/docs/#/diffusion/index). Three rows of N numbers; N rows of three are read, too.
* **MRtrix** (`NAME.b`): rows x, y, z, b, with directions in scanner space.

In a `Volume` directions are in scanner space, so the order and the signs of the array's axes do not matter.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.regular import read_text
from napari_vqad.imaging.measurements import B_ZERO, GradientTable, Measurements
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import is_nifti, read_array, shape_of
from napari_vqad.io.nifti_geometry import geometry_of

B_FILES, DIRECTION_FILES = ("{}.bval", "{}.bvals", "bvals", "bval"), ("{}.bvec", "{}.bvecs", "bvecs", "bvec")
MRTRIX_FILE = "{}.b"
LENGTH = (0.9, 1.1)  # of a direction; others are no unit vectors, and their b-values may mean something else


def is_diffusion(path: str | Path) -> bool:
    """Say whether a NIfTI file has a fourth axis, by its header."""
    return is_nifti(path) and Path(path).is_file() and len(shape_of(Path(path))) == 4


def read_diffusion(
    path: str | Path, b_values: str | Path | None = None, directions: str | Path | None = None
) -> Volume:
    """Read a diffusion scan. Its anatomy, `voxels`, is the mean of the measurements with a b-value below `B_ZERO`.

    Args:
        path: a NIfTI file of four axes; the last is that of the measurements.
        b_values, directions: the files of the gradients; `b_values` alone may be an MRtrix table. Without them they
            are looked for beside the scan: NAME.bval(s) and NAME.bvec(s), NAME.b, bvals and bvecs.

    Raises:
        InputError: the file cannot be read or has not four axes; the gradients are missing, damaged or of another
            number; no measurement is without diffusion weighting; or a measurement is not a number.
    """
    path = Path(path)
    header, array, notes = read_array(path, 4)
    geometry = geometry_of(header, array.shape[:3], path)
    affine = np.diag([*[geometry.mm] * 3, 1.0]) @ geometry.file_affine
    gradients = _gradients(path, array.shape[3], affine, b_values, directions)
    finite = np.isfinite(array)
    if not finite.all():
        wrong = ~finite
        n, of = int(wrong.sum()), int(wrong.any((0, 1, 2)).sum())
        raise InputError(f"{path} has {n} values in {of} measurements that are not numbers.")
    canonical = Volume.from_array(array, affine, name=path.name)
    measured = Measurements(canonical.voxels, gradients)
    try:
        anatomy = measured.anatomy()
    except InputError as error:
        raise InputError(f"{path} cannot be shown: {error}.") from error
    if anatomy.min() == anatomy.max():
        raise InputError(f"{path} is constant without diffusion weighting: every voxel is {anatomy.flat[0]:g}.")
    return replace(
        canonical,
        voxels=anatomy,
        measurements=measured,
        name=re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE),
        path=path,
        header=header,
        notes=(*notes, *geometry.notes),
        side_known=geometry.side_known,
    )


def _gradients(
    path: Path, n: int, affine: NDArray, b_values: str | Path | None, directions: str | Path | None
) -> GradientTable:
    """Read the gradients of a scan with n measurements and an affine, 4×4, of its array.

    Raises:
        InputError: see `read_diffusion`.
    """
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    table = path.with_name(MRTRIX_FILE.format(stem))
    if b_values is None and directions is None and table.is_file() and _beside(path, B_FILES) is None:
        b_values = table
    if b_values is not None and directions is None and Path(b_values).suffix == ".b":
        return _mrtrix(Path(b_values), path, n)
    b_path = Path(b_values) if b_values is not None else _beside(path, B_FILES)
    g_path = Path(directions) if directions is not None else _beside(path, DIRECTION_FILES)
    if b_path is None or g_path is None:
        what = "b-values" if b_path is None else "directions"
        raise InputError(
            f"{path} has {n} images, and the {what} of a diffusion scan are missing: {stem}.bval and {stem}.bvec, or "
            f"{stem}.b, must lie beside it."
        )
    b, g = _numbers(b_path).ravel(), _numbers(g_path)
    _check_number(b_path, len(b), path, n)
    g = g.T if (g.shape[0] == 3 and g.shape != (n, 3)) or g.shape == (3, 3) else g
    if g.shape[1] != 3:
        raise InputError(f"{g_path} has {g.shape[0]} rows of {g.shape[1]} numbers; a direction has three.")
    _check_number(g_path, len(g), path, n)
    return _table(b, g @ _fsl_to_scanner(affine).T, g_path)


def _mrtrix(table: Path, path: Path, n: int) -> GradientTable:
    rows = _numbers(table)
    if rows.shape[1] != 4:
        raise InputError(f"{table} has rows of {rows.shape[1]} numbers; MRtrix writes x, y, z and b.")
    _check_number(table, len(rows), path, n)
    return _table(rows[:, 3], rows[:, :3], table)


def _check_number(file: Path, found: int, path: Path, n: int) -> None:
    if found != n:
        raise InputError(f"{file} is of {found} measurements and {path.name} has {n}; they must agree.")


def _table(b: NDArray, g: NDArray, path: Path) -> GradientTable:
    """Make a gradient table; directions at b = 0 may be missing (NaN or zero).

    Raises:
        InputError: a b-value is negative or not a number, or a direction is no unit vector.
    """
    if not np.isfinite(b).all() or b.min() < 0:
        raise InputError(f"{path} goes with a b-value that is negative or not a number.")
    length = np.linalg.norm(g, axis=1)
    wrong = np.flatnonzero((b > B_ZERO) & ~((length >= LENGTH[0]) & (length <= LENGTH[1])))
    if len(wrong):
        i = wrong[0]
        raise InputError(
            f"{path} has a direction of length {length[i]:.2f} for measurement {i} (b = {b[i]:.0f} s/mm²); directions "
            "have the length 1."
        )
    return GradientTable.of(b, np.nan_to_num(g))


def _fsl_to_scanner(affine: NDArray) -> NDArray:
    """Return the matrix, 3×3, that turns FSL's directions to scanner space.

    A sheared affine is replaced by the nearest rotation or reflection (its polar decomposition).
    """
    turn = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    u, _, v = np.linalg.svd(turn)
    flip = np.diag([-1.0, 1.0, 1.0]) if np.linalg.det(turn) > 0 else np.eye(3)
    return u @ v @ flip


def _beside(path: Path, names: tuple[str, ...]) -> Path | None:
    stem = re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)
    return next((p for name in names if (p := path.with_name(name.format(stem))).is_file()), None)


def _numbers(path: Path) -> NDArray[np.float64]:
    """Read rows of numbers, (rows, columns).

    Raises:
        InputError: the file is missing, or holds something else.
    """
    lines = [line.split("#")[0].replace(",", " ").split() for line in read_text(path, limits.TEXT).splitlines()]
    try:
        rows = [[float(word) for word in line] for line in lines if line]
    except ValueError as error:
        raise InputError(f"{path} holds something that is not a number.") from error
    if not rows or len({len(row) for row in rows}) > 1:
        raise InputError(f"{path} does not hold rows of equally many numbers.")
    return np.array(rows)
