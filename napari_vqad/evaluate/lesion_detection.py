"""Findings of a scan at one expected finding per healthy head, and the rank of a known lesion among them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.layout import to_grid
from napari_vqad.io.nifti import read_mask, read_scan
from napari_vqad.scores.components import find


@dataclass(frozen=True)
class LesionDetection:
    """Result of one scan.

    Attributes:
        name: name of the file.
        findings: number of findings.
        rank: number, from 1, of the first finding that touches the lesion; 0 if none does; None without a label.
        recall: share of the lesion's voxels that are flagged; NaN without a label.
        precision: share of the flagged voxels that are in the lesion; NaN without a label.
        note: how the head was aligned.
    """

    name: str
    findings: int
    rank: int | None
    recall: float
    precision: float
    note: str


def evaluate_scan(
    bundle: Bundle, settings: Settings, scan: Path, mask: Path | None, label: Path | None
) -> LesionDetection:
    """Score a scan and search for its lesion among the findings.

    Raises:
        InputError: the detector scores slices only; or a file cannot be read.
    """
    if bundle.detector.scored is None:
        raise InputError(f"{bundle.title} scores slices only, so it has no findings to evaluate.")
    volume = read_scan(scan)
    brain = read_mask(mask, volume) if mask else make_mask(volume).voxels
    grid = to_grid(volume, brain, bundle.config.grid, template=bundle.template)
    explorer = Explorer(bundle, settings)
    explorer.load_grid(grid)
    for _ in explorer.work():
        pass
    rate = settings.model_copy(update={"flag_voxels": "1/1"})
    threshold = bundle.thresholds(bundle.validated(rate))["flag_voxels"]
    score = explorer.map("pixel_score")
    found = find(score, threshold, max(1, round(settings.min_volume_ml / bundle.config.grid.voxel_ml)))
    name = scan.name.removesuffix(".gz").removesuffix(".nii")
    if label is None:
        return LesionDetection(name, len(found), None, np.nan, np.nan, grid.note)
    lesion = grid.from_scan(read_mask(label, volume)) > 0
    rank = next((i for i, f in enumerate(found, start=1) if (f.inside & lesion[f.box]).any()), 0)
    flagged = score > threshold
    hit = float((flagged & lesion).sum())
    return LesionDetection(name, len(found), rank, hit / max(lesion.sum(), 1), hit / max(flagged.sum(), 1), grid.note)


def table(rows: list[LesionDetection]) -> str:
    """Make a Markdown table with one row per scan."""
    lines = [
        "| scan | findings | lesion is finding | of the lesion flagged | of the flagged, lesion |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        known = ("–", "–", "–") if r.rank is None else (r.rank or "none", f"{r.recall:.2f}", f"{r.precision:.2f}")
        lines.append(f"| {r.name} | {r.findings} | " + " | ".join(str(k) for k in known) + " |")
    return "\n".join(lines)
