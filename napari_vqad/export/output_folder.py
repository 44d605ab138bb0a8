"""The folder that an analysis is written into: its files, whose they are, and what they must not take the place of."""

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
from napari_vqad.export.study_file import APART, fingerprint
from napari_vqad.files.space import check_folder
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.dicom_series import Series
from napari_vqad.io.load import source_of

SAVED = ("evidence", "restoration", "residual", "score", "flagged")  # roles of the maps that have a file each
TABLE, REPORT, SHEET, NUMBERS = "findings.csv", "report.html", "sheet.png", "result.json"
OTHERS = (TABLE, REPORT, SHEET, NUMBERS, SEGMENTS, SCORE)


BESIDES = 8_000_000  # bytes of what is written beside the maps, about
SHARE = 0.5  # of a scan's voxels are brain, at most: the others compress to nothing


def identity(volume: Volume) -> ScanIdentity:
    """What tells a scan from others, as it stands in result.json."""
    path, _ = source_of(volume)
    return {
        "scan_path": str(path.absolute()) if path else None,
        "scan_sha256": fingerprint(volume.voxels),
        "scan_shape": list(volume.voxels.shape),
        "scan_affine": volume.affine.round(6).tolist(),
    }


def saved_maps(detector: Detector | type[Detector]) -> list[str]:
    """The names of the maps of a detector that are written, each into a file of its own."""
    maps = Dependencies(detector).maps.values()
    return [spec.name for role in SAVED for spec in maps if spec.role == role and not spec.indexed]


def file_of(name: str) -> str:
    """The name of a map's file."""
    return f"{name}.nii.gz"


@cache
def map_files() -> tuple[str, ...]:
    """The files of the maps of every detector: a folder may hold those of another one from before."""
    return tuple(dict.fromkeys(file_of(name) for kind in DETECTORS for name in saved_maps(detector_class(kind))))


def known_files() -> tuple[str, ...]:
    """All files that an analysis may write into its folder."""
    return (*map_files(), *OTHERS)


def check_room(folder: Path, volume: Volume, detector: Detector) -> None:
    """Try whether the files of a scan's analysis could be written into a folder.

    Raises:
        InputError: they could not.
    """
    names = saved_maps(detector)
    check_folder(folder, [*map(file_of, names), *OTHERS], int(SHARE * len(names) * 4 * volume.voxels.size) + BESIDES)


def check_place(folder: Path, volume: Volume, files: Iterable[Path] = (), overwrite: bool = False) -> None:
    """May the files of a scan's analysis be written into a folder?

    Args:
        folder: may be missing.
        volume: the scan.
        files: what else the analysis reads, such as a mask.
        overwrite: replace files of another scan, too.

    Raises:
        InputError: one of them would take the place of a file that the analysis reads, or of another scan's.
    """
    check_inputs([folder / name for name in known_files()], volume, files)
    if isinstance(volume.header, Series) and any(_same(f.parent, folder) for f in map(Path, volume.header.files)):
        raise InputError(f"{folder} holds the DICOM series itself; give another folder for the maps.")
    if not overwrite and (why := foreign(folder, volume)):
        raise InputError(f"{why}; give another folder, or --overwrite (in Python overwrite=True) to replace them.")


def check_inputs(targets: Iterable[Path], volume: Volume, files: Iterable[Path] = ()) -> None:
    """Would one of the targets take the place of a file that a scan was read from, or of another that is read?

    The same file under another name counts: a link, or other letters where the file system does not tell them apart.

    Raises:
        InputError: it would.
    """
    origin, _ = source_of(volume)
    read = [*([origin] if origin else []), *map(Path, files)]
    if isinstance(volume.header, Series):
        read += map(Path, volume.header.files)
    for target in targets:
        if os.path.lexists(target) and (found := next((f for f in read if _same(f, target)), None)):
            raise InputError(f"{target} is read for this analysis ({found}), and would be overwritten by it.")


def foreign(folder: Path, volume: Volume) -> str | None:
    """Why a folder's files must not be replaced by those of a scan, in a sentence; None where they may be."""
    there = [name for name in known_files() if os.path.lexists(folder / name)]
    if not there:
        return None
    numbers = _numbers(folder / NUMBERS)
    if numbers is None:
        return f"{folder} holds {there[0]}, and no {NUMBERS} that says of which scan"
    return None if _is_of(numbers, volume) else f"{folder} holds the maps of another scan, {numbers.get('scan')}"


def belongs_to(folder: Path, volume: Volume) -> bool:
    """Does a folder hold the files of this scan's analysis?"""
    numbers = _numbers(folder / NUMBERS)
    return numbers is not None and _is_of(numbers, volume)


def _numbers(path: Path) -> dict | None:
    """What a result.json holds; None for what is none."""
    try:
        if not path.is_file() or path.stat().st_size > LONGEST:
            return None
        numbers = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return numbers if isinstance(numbers, dict) else None


def _is_of(numbers: dict, volume: Volume) -> bool:
    """Are these numbers of the scan? By its content; by path and geometry where its content is not recorded."""
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
