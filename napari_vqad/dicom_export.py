"""What an analysis found, as DICOM beside the series that it was found in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_vqad.errors import InputError
from napari_vqad.explorer import Explorer
from napari_vqad.findings import Finding, findings
from napari_vqad.io.dicom_out import Maker, Segment, source_of, write_score, write_segments

SEGMENTS, SCORE = "findings.dcm", "score.dcm"
MEANING = {
    "plain": "Pixel score, SD of healthy intensity",
    "place": "Pixel score, SD of healthy scores at the same place",
    "fused": "Pixel score, sum of residual, NLL and PCA in healthy SD",
}


def export_dicom(folder: str | Path, explorer: Explorer, found: Sequence[Finding] | None = None) -> list[Path]:
    """Write findings.dcm, a binary SEG with a segment for each finding, and score.dcm, a Parametric Map.

    Both or none. Without a finding there is no findings.dcm, and one that is there from before is removed.

    Args:
        folder: made where it is missing.
        explorer: holds the analysis of a scan that was read from DICOM.
        found: the findings that are written, such as the accepted ones; all that are flagged when not given.

    Returns:
        What was written.

    Raises:
        InputError: the scan is not from DICOM, its files have gone, highdicom is not installed, or the folder cannot
            be written to.
    """
    folder, volume = Path(folder), explorer.volume
    assert volume is not None  # a bare grid came from nowhere
    source_of(volume)
    found = findings(explorer) if found is None else found
    maker = _maker(explorer)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=".vqad-", dir=folder))
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror}.") from error
    try:
        write_score(
            work / SCORE, volume, explorer.grid.to_scan(explorer.map("pixel_score")), MEANING[explorer.scale()], maker
        )
        labels, segments = _segments(explorer, found)
        if segments:
            write_segments(work / SEGMENTS, volume, labels, segments, maker)
        else:
            (folder / SEGMENTS).unlink(missing_ok=True)
        names = sorted(file.name for file in work.iterdir())
        for name in names:
            os.replace(work / name, folder / name)
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror}.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [folder / name for name in names]


def _segments(explorer: Explorer, found: Sequence[Finding]) -> tuple[np.ndarray, list[Segment]]:
    """Labels on the scan's voxels, 1 to n, and what each is; a piece that falls between coarse voxels has none."""
    grid = explorer.grid
    stack = np.zeros(grid.slices.shape, np.int32)
    for place, finding in enumerate(found, start=1):
        stack[finding.piece.box][finding.piece.inside] = place
    on_scan = grid.to_scan(stack, order=0)
    kept = [i for i in np.unique(on_scan) if i]
    number = np.zeros(len(found) + 1, np.int32)
    number[kept] = np.arange(1, len(kept) + 1)
    return number[on_scan], [_segment(found[i - 1]) for i in kept]


def _segment(f: Finding) -> Segment:
    return Segment(
        f"Finding {f.number}, {f.side}, {f.where}",
        f"{f.ml:.2f} mL, peak score {f.peak:.1f}, mean {f.mean:.1f}, NLL peak {f.nll:.1f} nats",
    )


def _maker(explorer: Explorer) -> Maker:
    """Model and settings."""
    settings = {name: str(value) for name, value in explorer.settings.model_dump().items()}
    return Maker(explorer.bundle.name, explorer.bundle.hash, settings)
