"""The file of a saved study: a zip of `study.json` and `arrays.safetensors`. Nothing is ever unpickled.

It contains the settings, verdicts and notes, the scan on the model's grid, and the networks' results, codes as well as
decoded pictures. Pictures are stored because alignment and decoding are floating point: with bfloat16 on one machine
and float32 on another, a voxel near the threshold would be flagged on one only (`device.quick`). The scan itself is not
stored.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import prod
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from safetensors.numpy import save

from napari_vqad.detectors.protocol import Arrays
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.provenance import ComputedWith
from napari_vqad.engine.store import StageArrays
from napari_vqad.errors import InputError
from napari_vqad.export.study_checks import COUNT, MOST, NoStudyError, check_sizes, check_values, usable
from napari_vqad.files import limits
from napari_vqad.files.archive import open_member, open_zip
from napari_vqad.files.atomic import atomic_write
from napari_vqad.files.jsonfile import parse_json, short
from napari_vqad.files.limits import gib
from napari_vqad.files.tensors import Entry, read_tensors
from napari_vqad.findings.review import Annotation, Peak, Peaks
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.intensity import IntensityMap
from napari_vqad.imaging.resample import VoxelGrid
from napari_vqad.imaging.volume import Volume, fingerprint, is_oblique
from napari_vqad.simulate.recipe import Recipe

FORMAT = 3
# Format 1 lacks the device and versions of the computation, and annotations on merged findings. Formats 1 and 2 have
# only the arrays of the vector-quantised detector, under other names.
READ = (1, 2, FORMAT)
JSON, ARRAYS = "study.json", "arrays.safetensors"
APART = 1e-3  # mm; affines whose entries differ by less are the same
DAMAGED = "is cut short or damaged, or no study at all"

Text = Annotated[str, Field(max_length=1000)]
Length = Annotated[int, Field(ge=1, le=2**15)]  # voxels along an axis
Number = Annotated[float, Field(allow_inf_nan=False)]
Triple = Annotated[list[Number], Field(min_length=3, max_length=3)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SavedScan(_Part):
    """The scan of a study: its absolute path, its path relative to the study's folder, and data that identify it.

    `series` is the UID of a DICOM series in a folder.
    """

    name: Text
    path: str | None
    relative: str | None
    series: Text | None = None
    shape: tuple[Length, Length, Length]
    affine: list[list[Number]]
    sha256: Text

    @model_validator(mode="after")
    def _lies_somewhere(self) -> Self:
        if [len(row) for row in self.affine] != [4] * 4 or not usable(np.array(self.affine)):
            raise ValueError("the scan lies nowhere")
        _bounded(self.shape)
        return self

    def fits(self, volume: Volume) -> bool:
        """Say whether a volume is this scan, with the same voxels and affine."""
        near = np.allclose(volume.affine, self.affine, rtol=0, atol=APART)
        return near and volume.voxels.shape == self.shape and fingerprint(volume) == self.sha256


class SavedBundle(_Part):
    """The model of a study: its folder, title, and the hash of its files."""

    name: Text
    folder: str
    title: Text
    sha256: Text


class SavedGrid(_Part):
    """The scan's grid and intensity conversion, without the arrays."""

    axis: int = Field(ge=0, le=2)
    outside: float = Field(ge=0, le=1)
    aligned: bool
    note: Text
    failed: bool = False
    low: Number
    scale: float = Field(gt=0, allow_inf_nan=False)
    gain: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None  # None if it is an array
    view: tuple[Triple, Triple, tuple[Length, Length, Length]]

    @model_validator(mode="after")
    def _is_seen(self) -> Self:
        _, spacing, shape = self.view
        if not all(1e-4 < s < 1e4 for s in spacing):
            raise ValueError("the view has voxels of no size")
        _bounded(shape)
        return self


class Header(_Part):
    """A study without its arrays.

    Older studies, with only one kind of slice score, do not name it: their slices were flagged by AS_sample.

    Attributes:
        software: versions that saved the study.
        made: devices and versions that computed the results.
        words: annotations of findings, by the grid indices of their peaks; by a single peak in format 1.
        slice: slice of the grid in view.
        view, which: name of the view, and number of the restoration in view (0: the mean).
        edits: of an edited scan, what was put into `scan`, which is the scan as it was read; else None, and left out of
            the file, so that earlier versions can read it.
    """

    format: int = FORMAT
    saved: datetime
    software: dict[str, str]
    made: tuple[ComputedWith, ...] = (ComputedWith(),)
    scan: SavedScan
    bundle: SavedBundle
    settings: Settings
    mask_note: Text
    words: list[tuple[Peaks | Peak, Annotation]]
    slice: int
    view: Text
    which: int = Field(ge=0, le=MOST)
    grid: SavedGrid
    edits: Recipe | None = None

    @field_validator("settings", mode="before")
    @classmethod
    def _slices_as_then(cls, given: Any) -> Any:
        return {"slice_score": "sample"} | given if isinstance(given, dict) else given


@dataclass(frozen=True)
class Contents:
    """A whole study: header, brain mask, bool (R, A, S) on the scan's voxels, grid, and results of the networks."""

    header: Header
    mask: NDArray[np.bool_]
    grid: Grid
    stages: StageArrays


def saved_grid(grid: Grid) -> SavedGrid:
    """Return the part of a grid that the header stores."""
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
    """Write a study atomically.

    Raises:
        InputError: the file cannot be written, or would be too large to read again.
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
        **_flat(stages),
    }
    if (n_bytes := sum(array.nbytes for array in arrays.values())) + limits.TENSOR_HEADER > limits.STUDY:
        raise InputError(f"{path} would hold {gib(n_bytes)}, and at most {gib(limits.STUDY)} are read again.")
    raw = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    with atomic_write(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
        left_out = {"edits"} if contents.header.edits is None else set()
        archive.writestr(JSON, contents.header.model_dump_json(indent=1, exclude=left_out))
        archive.writestr(ARRAYS, raw)


def read_header(path: Path) -> Header:
    """Read a study without its arrays.

    Raises:
        InputError: the file is missing, broken, not a study, or of an unknown format.
    """
    with open_zip(path, DAMAGED) as archive:
        return _header(path, archive)


def read(path: Path) -> Contents:
    """Read a whole study.

    Raises:
        InputError: as in `read_header`; or its arrays do not fit together, or exceed the size limit.
    """
    with open_zip(path, DAMAGED) as archive:
        header = _header(path, archive)
        with open_member(archive, ARRAYS, limits.STUDY, path) as (stream, size):
            try:
                arrays = read_tensors(stream, size, path, partial(_check, header))
                stream.read(1)  # read to the end, where zipfile verifies the checksum
                check_values(arrays)
                return _contents(header, arrays)
            except (InputError, NoStudyError) as error:
                raise InputError(f"{path} is damaged: its arrays do not make a study.") from error


def _check(header: Header, entries: dict[str, Entry]) -> None:
    check_sizes(entries, header.scan.shape, header.grid.axis, header.grid.gain is None, header.format < FORMAT)


def _flat(stages: StageArrays) -> dict[str, NDArray]:
    """Convert results to arrays: "count/STAGE", samples per slice, and "STAGE/NAME", the samples of all slices."""
    flat: dict[str, NDArray] = {}
    for stage, slices in stages.results.items():
        counts = [next((len(a) for a in arrays.values()), 0) for arrays in slices]
        flat[f"{COUNT}{stage}"] = np.array(counts, np.int64)
        for name in next((tuple(arrays) for arrays in slices if arrays), ()):
            flat[f"{stage}/{name}"] = np.concatenate([arrays[name] for arrays in slices if arrays])
    return flat


def _results(arrays: dict[str, NDArray]) -> dict[str, list[Arrays]]:
    """Invert `_flat`."""
    found: dict[str, list[Arrays]] = {}
    for key in (k for k in arrays if k.startswith(COUNT)):
        stage, counts = key.removeprefix(COUNT), arrays[key]
        parts = {
            name.removeprefix(f"{stage}/"): _parted(array, counts)
            for name, array in arrays.items()
            if name.startswith(f"{stage}/")
        }
        found[stage] = [{n: p[i] for n, p in parts.items()} if counts[i] else {} for i in range(len(counts))]
    return found


def _results_of_old(arrays: dict[str, NDArray]) -> dict[str, list[Arrays]]:
    """Convert the arrays of format 1 or 2: codes, NLL and restorations."""
    there = arrays["has_nll"]
    nll = [{"codes": c[None], "nll": v[None]} for c, v in zip(arrays["codes"], arrays["nll"], strict=True)]
    restored = _parted(arrays["restored"], arrays["n_restored"])
    difference = _parted(arrays["difference"], arrays["n_difference"])
    return {
        "nll": [of_slice if is_there else {} for of_slice, is_there in zip(nll, there, strict=True)],
        "restoration": [{"codes": c} if len(c) else {} for c in restored],
        "decode": [{"difference": d} if len(d) else {} for d in difference],
    }


def _bounded(shape: tuple[int, ...]) -> None:
    if 4 * prod(shape) > limits.VOXELS:
        raise ValueError("more voxels than are read")


def _header(path: Path, archive: zipfile.ZipFile) -> Header:
    with open_member(archive, JSON, limits.JSON, path) as (stream, _):
        raw = stream.read()
    try:
        known = parse_json(raw, path)
        number = known["format"]
    except (InputError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged, or no study at all.") from error
    if type(number) is not int or number not in READ:
        formats = " and ".join(map(str, READ))
        raise InputError(
            f"{path} is a study of format {short(number)}; this version of napari-vqad reads formats {formats}."
        )
    try:
        return Header.model_validate(known)
    except ValidationError as error:
        where = short(".".join(str(part) for part in error.errors(include_input=False, include_url=False)[0]["loc"]))
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
        view=VoxelGrid(np.array(origin), np.array(spacing), shape),
        scan=VoxelGrid(scan.origin, scan.spacing, header.scan.shape),
        intensity=IntensityMap(saved.low, saved.scale, _gain(saved, arrays), arrays["levels"], arrays["targets"]),
        outside=saved.outside,
        aligned=saved.aligned,
        note=saved.note,
        failed=saved.failed,
        oblique=is_oblique(scan.affine, header.scan.shape),
    )
    results = _results(arrays) if header.format == FORMAT else _results_of_old(arrays)
    stages = StageArrays(results, header.made)
    return Contents(header, _unpacked(arrays["mask"], header.scan.shape), grid, stages)


def _gain(saved: SavedGrid, arrays: dict[str, NDArray]) -> Any:
    return arrays["gain"] if saved.gain is None else saved.gain


def _unpacked(bits: NDArray, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.unpackbits(bits, count=prod(shape)).reshape(shape).astype(bool)


def _parted(array: NDArray, counts: NDArray) -> list[NDArray]:
    """Split an array into one array per slice."""
    return np.split(array, np.cumsum(counts)[:-1])
