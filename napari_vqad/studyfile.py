"""The file of a saved study: a zip of `study.json` and `arrays.safetensors`. Nothing is ever unpickled.

Beside what was chosen and said it holds the scan on the model's grid and what the networks made of it, pictures as
well as codes: alignment and decoder are floating point, and with bfloat16 on one machine and float32 on another a
voxel near the threshold would be flagged here and not there (`device.quick`). The scan itself is not in it.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from napari_vqad.cache import Stages
from napari_vqad.errors import InputError
from napari_vqad.grid import Grid
from napari_vqad.harmonise import Intensity
from napari_vqad.io.whole import whole
from napari_vqad.provenance import Made
from napari_vqad.resample import Frame
from napari_vqad.review import Place, Places, Word
from napari_vqad.settings import Settings
from napari_vqad.volume import Volume, is_oblique

FORMAT = 2
READ = (1, FORMAT)  # 1 does not say with what the numbers were computed, and knows no words on merged findings
JSON, ARRAYS = "study.json", "arrays.safetensors"
APART = 1e-3  # mm; affines that differ by less are the same
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, SafetensorError)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SavedScan(_Part):
    """Which scan it was: where its file lay, absolute and from the study's folder, and what tells it from others.

    `series` is the UID of a DICOM series in a folder.
    """

    name: str
    path: str | None
    relative: str | None
    series: str | None = None
    shape: tuple[int, int, int]
    affine: list[list[float]]
    sha256: str

    def fits(self, volume: Volume) -> bool:
        """Is this the scan, voxel for voxel at the same place?"""
        near = np.allclose(volume.affine, self.affine, rtol=0, atol=APART)
        return near and volume.voxels.shape == self.shape and fingerprint(volume.voxels) == self.sha256


class SavedBundle(_Part):
    """Which model it was: its folder, title, and the hash of its files."""

    name: str
    folder: str
    title: str
    sha256: str


class SavedGrid(_Part):
    """How the scan was laid on the model's grid, but for the arrays."""

    axis: int
    outside: float
    aligned: bool
    note: str
    failed: bool = False
    low: float
    scale: float
    gain: float | None  # None where it is an array
    view: tuple[list[float], list[float], tuple[int, int, int]]


class Header(_Part):
    """All of a study but its arrays.

    Attributes:
        software: versions that it was saved with.
        made: with what its numbers were computed.
        words: what was said of findings, by the places of their peaks on the grid; by one place in the first format.
        slice: that in view, on the grid.
        view, which: the question that was shown, and of which restoration (0: the mean).
    """

    format: int = FORMAT
    saved: datetime
    software: dict[str, str]
    made: tuple[Made, ...] = (Made(),)
    scan: SavedScan
    bundle: SavedBundle
    settings: Settings
    mask_note: str
    words: list[tuple[Places | Place, Word]]
    slice: int
    view: str
    which: int
    grid: SavedGrid


@dataclass(frozen=True)
class Contents:
    """All of a study: bool mask (R, A, S) on the scan's voxels, the scan on the grid, the networks' work."""

    header: Header
    mask: NDArray[np.bool_]
    grid: Grid
    stages: Stages


def fingerprint(voxels: NDArray) -> str:
    """sha256 of canonical voxels, float32 (R, A, S)."""
    return hashlib.sha256(np.ascontiguousarray(voxels, "<f4").data).hexdigest()


def saved_grid(grid: Grid) -> SavedGrid:
    """What of a grid goes into the header."""
    i, view = grid.intensity, grid.view
    return SavedGrid(
        axis=grid.axis,
        outside=grid.outside,
        aligned=grid.aligned,
        note=grid.note,
        failed=grid.failed,
        low=i.low,
        scale=i.scale,
        gain=None if isinstance(i.gain, np.ndarray) else i.gain,
        view=([*map(float, view.origin)], [*map(float, view.spacing)], view.shape),
    )


def write(path: Path, contents: Contents) -> None:
    """Write a study, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    grid, stages, i = contents.grid, contents.stages, contents.grid.intensity
    arrays: dict[str, NDArray] = {
        "mask": np.packbits(contents.mask),
        "slices": grid.slices,
        "grid_mask": np.packbits(grid.mask),
        "position": grid.position,
        "placement": grid.placement,
        "levels": i.levels,
        "targets": i.targets,
        **({"gain": i.gain} if isinstance(i.gain, np.ndarray) else {}),
        "codes": stages.codes,
        "nll": stages.nll,
        "has_nll": stages.has_nll,
        "n_restored": np.array([len(r) for r in stages.restored]),
        "restored": np.concatenate(stages.restored),
        "n_difference": np.array([len(d) for d in stages.difference]),
        "difference": np.concatenate(stages.difference),
    }
    raw = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    with whole(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        archive.writestr(JSON, contents.header.model_dump_json(indent=1))
        archive.writestr(ARRAYS, raw)


def read_header(path: Path) -> Header:
    """What was chosen and said, without the arrays.

    Raises:
        InputError: the file is missing, broken, no study, or of another version.
    """
    return _header(path, _entry(path, JSON))


def read(path: Path) -> Contents:
    """All of a study.

    Raises:
        InputError: as `read_header`; or its arrays do not fit together.
    """
    header = read_header(path)
    try:
        arrays = {name: array.copy() for name, array in load(_entry(path, ARRAYS)).items()}  # to be written to
        return _contents(header, arrays)
    except (*BROKEN, ValueError, IndexError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is damaged: its arrays do not make a study.") from error


def _entry(path: Path, name: str) -> bytes:
    if not path.is_file():
        raise InputError(f"{path} is not a file." if path.exists() else f"{path} does not exist.")
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except PermissionError as error:
        raise InputError(f"{path} may not be read: permission denied.") from error
    except (*BROKEN, OSError) as error:
        raise InputError(f"{path} is cut short or damaged, or no study at all.") from error


def _header(path: Path, raw: bytes) -> Header:
    try:
        known = json.loads(raw)
        number = known["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged, or no study at all.") from error
    if number not in READ:
        known = " and ".join(map(str, READ))
        raise InputError(f"{path} is a study of format {number}; this version of napari-vqad reads formats {known}.")
    try:
        return Header.model_validate_json(raw)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(f"{path} is damaged: it does not fit at '{where}'.") from error


def _contents(header: Header, arrays: dict[str, NDArray]) -> Contents:
    saved, slices = header.grid, arrays["slices"]
    origin, spacing, shape = saved.view
    scan = Volume(np.empty((0, 0, 0)), np.array(header.scan.affine), np.array(header.scan.affine))
    grid = Grid(
        slices=slices,
        mask=_unpacked(arrays["grid_mask"], slices.shape),
        position=arrays["position"],
        axis=saved.axis,
        placement=arrays["placement"],
        view=Frame(np.array(origin), np.array(spacing), shape),
        scan=Frame(scan.origin, scan.spacing, header.scan.shape),
        intensity=Intensity(saved.low, saved.scale, _gain(saved, arrays), arrays["levels"], arrays["targets"]),
        outside=saved.outside,
        aligned=saved.aligned,
        note=saved.note,
        failed=saved.failed,
        oblique=is_oblique(scan.affine, header.scan.shape),
    )
    stages = Stages(
        arrays["codes"],
        arrays["nll"],
        arrays["has_nll"],
        _parted(arrays["restored"], arrays["n_restored"]),
        _parted(arrays["difference"], arrays["n_difference"]),
        header.made,
    )
    if not (len(stages.codes) == len(stages.nll) == len(stages.restored) == len(stages.difference) == len(grid)):
        raise ValueError("arrays of different lengths")
    return Contents(header, _unpacked(arrays["mask"], header.scan.shape), grid, stages)


def _gain(saved: SavedGrid, arrays: dict[str, NDArray]) -> Any:
    return arrays["gain"] if saved.gain is None else saved.gain


def _unpacked(bits: NDArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    n = int(np.prod(shape))
    if len(bits) != -(-n // 8):
        raise ValueError("a mask of another size")
    return np.unpackbits(bits, count=n).reshape(shape).astype(bool)


def _parted(array: NDArray, counts: NDArray) -> list[NDArray]:
    """One array for each slice."""
    if counts.sum() != len(array):
        raise ValueError("arrays of different lengths")
    return np.split(array, np.cumsum(counts)[:-1])
