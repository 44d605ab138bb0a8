"""A scan of whatever kind: a NIfTI file, a folder of DICOM, or one of its files."""

from __future__ import annotations

from pathlib import Path

from napari_vqad.errors import InputError
from napari_vqad.io.dicom import read_series
from napari_vqad.io.dicom_files import is_dicom
from napari_vqad.io.nifti import is_nifti, read_scan
from napari_vqad.volume import Volume


def open_scan(path: str | Path, series: str | int | None = None) -> Volume:
    """Read a scan, whatever it is.

    Args:
        path: a NIfTI file, a folder with DICOM, or one DICOM file of a series.
        series: number or UID, for a folder with several series.

    Raises:
        InputError: as `read_scan` and `read_series`; or a series is asked of a NIfTI file.
    """
    path = Path(path)
    if path.is_dir() or is_dicom(path):
        return read_series(path, series)
    if series is not None and path.exists():
        raise InputError(f"{path} is not a folder with DICOM; a series is chosen of such a folder.")
    if path.is_file() and not is_nifti(path):
        raise InputError(f"{path} is neither a NIfTI file (.nii, .nii.gz) nor DICOM.")
    return read_scan(path)
