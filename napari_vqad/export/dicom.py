"""Exports findings and the pixel score as DICOM files that refer to the source series."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_vqad.display.scales import score_unit
from napari_vqad.engine.completeness import incomplete
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.findings.findings import Finding, findings
from napari_vqad.imaging.location import scanner_mm
from napari_vqad.io.dicom_write import Maker, Segment, check_source, write_score, write_segments

SEGMENTS, SCORE = "findings.dcm", "score.dcm"


@dataclass(frozen=True)
class Exported:
    """The exported files.

    Attributes:
        files: the paths.
        without: numbers of the findings without a segment, since no voxel of the scan was free for them.
        incomplete: a sentence that says what is missing if the analysis is incomplete; else empty.
    """

    files: tuple[Path, ...]
    without: tuple[int, ...] = ()
    incomplete: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user on what is missing."""
        partial = (self.incomplete,) if self.incomplete else ()
        if not self.without:
            return partial
        numbers = ", ".join(map(str, self.without))
        what = f"finding {numbers} has" if len(self.without) == 1 else f"findings {numbers} have"
        return (*partial, f"In {SEGMENTS} {what} no segment, since no voxel of the scan was free there.")


def export_dicom(
    folder: str | Path,
    explorer: Explorer,
    found: Sequence[Finding] | None = None,
    files: Collection[str] = (SEGMENTS, SCORE),
) -> Exported:
    """Write findings.dcm, a binary SEG with a segment for each finding, and score.dcm, a Parametric Map.

    Either all `files` are written or none. Without findings, findings.dcm is not written, and an existing one is
    removed.

    Args:
        folder: created if missing.
        explorer: holds the analysis of a scan that was read from DICOM.
        found: the findings to write, such as the accepted ones; by default all findings.
        files: names of the files to write; the other file is not changed.

    Raises:
        InputError: as in `check_source`; the folder cannot be written to; or a file of the series has one of the names.
    """
    folder, volume = Path(folder), explorer.scan
    check_source(volume)
    if explorer.detector.scored is None:
        raise InputError(f"{explorer.bundle.title} scores slices only; it has no pixel score to write as DICOM.")
    for name in files:
        if any(_same(folder / name, Path(file)) for file in volume.header.files):
            raise InputError(f"{folder / name} is a file of the series that was read; give another folder.")
    found = findings(explorer) if found is None else found
    maker = _maker(explorer)
    kept = list(range(1, len(found) + 1))
    with atomic_folder(folder, stale=(SEGMENTS,) if SEGMENTS in files else ()) as work:
        if SCORE in files:
            score = explorer.grid.to_scan(explorer.map("pixel_score"))
            write_score(work / SCORE, volume, score, _meaning(explorer), maker)
        if SEGMENTS in files:
            kept = _write_findings(work / SEGMENTS, explorer, found, maker)
        names = sorted(file.name for file in work.iterdir())
    without = tuple(found[i - 1].number for i in sorted(set(range(1, len(found) + 1)) - set(kept)))
    return Exported(tuple(folder / name for name in names), without, incomplete(explorer))


def _write_findings(path: Path, explorer: Explorer, found: Sequence[Finding], maker: Maker) -> list[int]:
    """Write a segment for each finding with a voxel; return their positions in `found`, from 1. If none, no file."""
    labels = _labels(explorer, found)
    kept = [int(i) for i in np.unique(labels) if i]
    if kept:
        number = np.zeros(len(found) + 1, np.int32)
        number[kept] = np.arange(1, len(kept) + 1)
        write_segments(path, explorer.scan, number[labels], [_segment(found[i - 1]) for i in kept], maker)
    return kept


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _labels(explorer: Explorer, found: Sequence[Finding]) -> np.ndarray:
    """Label the scan's voxels, (R, A, S), with the position of their finding in `found`, from 1.

    A finding that falls between coarse voxels gets the voxel nearest to its peak or, if that is taken, to its centre.
    """
    grid, volume = explorer.grid, explorer.scan
    stack = np.zeros(grid.slices.shape, np.int32)
    for place, finding in enumerate(found, start=1):
        stack[finding.piece.box][finding.piece.inside] = place
    labels = grid.to_scan(stack, order=0)
    to_voxel = np.linalg.inv(volume.affine)
    for place in sorted(set(range(1, len(found) + 1)) - set(np.unique(labels).tolist())):
        finding = found[place - 1]
        for mm in (scanner_mm(volume, grid, np.array(finding.top)), finding.centre):
            voxel = tuple(np.rint(to_voxel @ [*mm, 1.0])[:3].astype(int))
            if all(0 <= i < n for i, n in zip(voxel, labels.shape, strict=True)) and not labels[voxel]:
                labels[voxel] = place
                break
    return labels


def _meaning(explorer: Explorer) -> str:
    """Describe the pixel score, for the DICOM map's explanation."""
    if (scale := explorer.scale()) == "intensity":
        return f"Pixel score, {score_unit(explorer)}"
    if scale == "normative":
        return "Pixel score, SD of healthy scores at the same place"
    detector = explorer.detector
    assert detector.scored is not None
    parts = [explorer.maps[name].title for name in (detector.scored, *detector.fused.values())]
    parts = [parts[0].lower(), *parts[1:], *(["PCA"] if explorer.bundle.linear is not None else [])]
    return f"Pixel score, sum of {' and '.join(filter(None, (', '.join(parts[:-1]), parts[-1])))} in healthy SD"


def _segment(f: Finding) -> Segment:
    return Segment(
        f"Finding {f.number}, {'both sides' if f.side == 'both' else f.side}, {f.where}",
        f"{f.ml:.2f} mL, peak score {f.peak:.1f} {f.unit}, mean {f.mean:.1f} {f.unit}"
        + "".join(f", {e.title} peak {e.peak:.1f} {e.unit}" for e in f.evidence),
    )


def _maker(explorer: Explorer) -> Maker:
    """Return the model and settings."""
    settings = {name: str(value) for name, value in explorer.settings.model_dump().items()}
    return Maker(explorer.bundle.name, explorer.bundle.hash, settings)
