"""The output folder of an analysis: its file names, and checks that no input or other scan's result is overwritten."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from napari_vqad.detectors.protocol import Detector
from napari_vqad.detectors.registry import DETECTORS, detector_class
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.errors import InputError
from napari_vqad.export.dicom import SCORE, SEGMENTS
from napari_vqad.export.result_file import LONGEST
from napari_vqad.export.result_schema import ScanIdentity
from napari_vqad.export.study_file import APART
from napari_vqad.files.space import check_folder
from napari_vqad.imaging.volume import Volume, fingerprint
from napari_vqad.io.dicom_series import Series
from napari_vqad.io.load import source_of

SAVED = ("evidence", "restoration", "residual", "score", "flagged")  # roles of the maps that are saved, one file each
TABLE, REPORT, SHEET, NUMBERS = "findings.csv", "report.html", "sheet.png", "result.json"
OTHERS = (TABLE, REPORT, SHEET, NUMBERS, SEGMENTS, SCORE)


BESIDES = 8_000_000  # bytes, approximate size of all files other than maps
SHARE = 0.5  # largest share of a scan's voxels in the brain; the others compress to almost nothing


def identity(volume: Volume) -> ScanIdentity:
    """Return the entries of result.json that identify a scan."""
    path, _ = source_of(volume)
    return {
        "scan_path": str(path.absolute()) if path else None,
        "scan_sha256": fingerprint(volume),
        "scan_shape": list(volume.voxels.shape),
        "scan_affine": volume.affine.round(6).tolist(),
    }


def saved_maps(detector: Detector | type[Detector]) -> list[str]:
    """List the names of a detector's maps that are saved, one file each."""
    maps = Dependencies(detector).maps.values()
    return [spec.name for role in SAVED for spec in maps if spec.role == role and not spec.indexed]


def file_of(name: str) -> str:
    """Return the file name of a map."""
    return f"{name}.nii.gz"


@cache
def map_files() -> tuple[str, ...]:
    """List the map files of all detectors, since a folder may hold results of another detector."""
    return tuple(dict.fromkeys(file_of(name) for kind in DETECTORS for name in saved_maps(detector_class(kind))))


def known_files() -> tuple[str, ...]:
    """List all files that an analysis may write."""
    return (*map_files(), *OTHERS)


def check_room(folder: Path, volume: Volume, detector: Detector) -> None:
    """Check that the files of a scan's analysis can be written to a folder.

    Raises:
        InputError: they cannot.
    """
    names = saved_maps(detector)
    check_folder(folder, [*map(file_of, names), *OTHERS], int(SHARE * len(names) * 4 * volume.voxels.size) + BESIDES)


def check_place(folder: Path, volume: Volume, files: Iterable[Path] = (), overwrite: bool = False) -> None:
    """Check that writing an analysis to a folder overwrites neither its inputs nor another scan's results.

    Args:
        folder: may be missing.
        volume: the scan.
        files: other input files of the analysis, such as a mask.
        overwrite: allow overwriting another scan's results.

    Raises:
        InputError: an input would be overwritten, or the folder holds the DICOM series or another scan's results.
    """
    check_inputs([folder / name for name in known_files()], volume, files)
    if isinstance(volume.header, Series) and any(_same(f.parent, folder) for f in map(Path, volume.header.files)):
        raise InputError(f"{folder} holds the DICOM series itself; give another folder for the maps.")
    if not overwrite and (why := foreign(folder, volume)):
        raise InputError(f"{why}; give another folder, or --overwrite (in Python overwrite=True) to replace them.")


def check_inputs(targets: Iterable[Path], volume: Volume, files: Iterable[Path] = ()) -> None:
    """Check that no target is an input file: a file of the scan or one of `files`.

    Links count as the same file, and so do names that differ in case on a file system that ignores case.

    Raises:
        InputError: a target is an input file.
    """
    origin, _ = source_of(volume.source)
    read = [*([origin] if origin else []), *map(Path, files)]
    if isinstance(volume.header, Series):
        read += map(Path, volume.header.files)
    for target in targets:
        if os.path.lexists(target) and (found := next((f for f in read if _same(f, target)), None)):
            raise InputError(f"{target} is read for this analysis ({found}), and would be overwritten by it.")


def foreign(folder: Path, volume: Volume) -> str | None:
    """Say why a folder's files must not be replaced by those of a scan; None if they may be."""
    there = [name for name in known_files() if os.path.lexists(folder / name)]
    if not there:
        return None
    numbers = _numbers(folder / NUMBERS)
    if numbers is None:
        return f"{folder} holds {there[0]}, and no {NUMBERS} that says of which scan"
    return None if _is_of(numbers, volume) else f"{folder} holds the maps of another scan, {numbers.get('scan')}"


def belongs_to(folder: Path, volume: Volume) -> bool:
    """Say whether a folder holds an analysis of this scan."""
    numbers = _numbers(folder / NUMBERS)
    return numbers is not None and _is_of(numbers, volume)


def _numbers(path: Path) -> dict | None:
    """Read a result.json; None if the file is missing or is not one."""
    try:
        if not path.is_file() or path.stat().st_size > LONGEST:
            return None
        numbers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return numbers if isinstance(numbers, dict) else None


def _is_of(numbers: dict, volume: Volume) -> bool:
    """Say whether a result belongs to the scan, by geometry and SHA-256; by path if no SHA-256 was recorded."""
    mine: Mapping[str, Any] = identity(volume)
    try:
        affine = np.array(numbers["scan_affine"], float)
        near = affine.shape == (4, 4) and np.allclose(affine, mine["scan_affine"], rtol=0, atol=APART)
        key = "scan_sha256" if numbers.get("scan_sha256") else "scan_path"
        same = mine[key] is not None and numbers[key] == mine[key]
        return bool(near and same and numbers["scan_shape"] == mine["scan_shape"])
    except (KeyError, TypeError, ValueError):
        return False


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False
