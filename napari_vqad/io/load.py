"""Reads a scan from a NIfTI file of three or four axes, a DICOM folder or one DICOM file."""

from __future__ import annotations

from pathlib import Path

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.dicom_index import is_dicom
from napari_vqad.io.dicom_series import Series, read_series
from napari_vqad.io.diffusion import is_diffusion, read_diffusion
from napari_vqad.io.nifti import is_nifti, is_pair, read_scan


def load_scan(
    path: str | Path,
    series: str | int | None = None,
    *,
    b_values: str | Path | None = None,
    directions: str | Path | None = None,
) -> Volume:
    """Read a scan from NIfTI or DICOM.

    Args:
        path: a NIfTI file, either file of a NIfTI pair (.hdr and .img), a folder with DICOM, or one DICOM file of a
            series.
        series: number or UID, for a folder with several series; as in `read_series`.
        b_values, directions: files with the gradients of a diffusion scan, a NIfTI file of four axes, if they do not
            lie beside it; as in `read_diffusion`.

    Raises:
        InputError: as in `read_scan`, `read_diffusion` and `read_series`; or `series` is given for a file that is not
            DICOM, or gradients for a scan that is not of diffusion.
    """
    path = Path(path)
    if path.is_dir() or is_dicom(path):
        if b_values is not None or directions is not None:
            raise InputError(f"{path} is DICOM; diffusion scans are read from NIfTI.")
        return read_series(path, series)
    if series is not None and path.exists():
        raise InputError(f"{path} is not a folder with DICOM; a series is chosen of such a folder.")
    if path.is_file() and not (is_nifti(path) or is_pair(path)):
        raise InputError(f"{path} is neither a NIfTI file (.nii, .nii.gz, .hdr with .img) nor DICOM.")
    if is_diffusion(path):
        return read_diffusion(path, b_values, directions)
    if b_values is not None or directions is not None:
        raise InputError(f"{path} has three dimensions; gradients belong to a diffusion scan of four.")
    return read_scan(path)


def source_of(volume: Volume) -> tuple[Path | None, str | None]:
    """Return the arguments with which `load_scan` reads the same scan again: path, and the series' UID for DICOM.

    The path is the file or folder that was opened; None for a scan made from an array, and for an edited scan.
    """
    if volume.edited is not None:
        return None, None
    if isinstance(volume.header, Series):
        return volume.header.opened, volume.header.uid
    return volume.path, None
