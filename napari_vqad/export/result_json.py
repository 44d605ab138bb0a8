"""The result of an analysis as plain data, for result.json, the report and notebooks."""

from __future__ import annotations

from typing import Literal, cast

import numpy as np

import napari_vqad
from napari_vqad.display import slice_scores
from napari_vqad.display.scales import map_unit, score_unit
from napari_vqad.display.thresholds import in_units
from napari_vqad.engine.completeness import missing_slices
from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.provenance import Saved
from napari_vqad.export.output_folder import identity
from napari_vqad.export.result_schema import EditedDict, ResultDict, ThresholdDict
from napari_vqad.export.tables import as_rows
from napari_vqad.findings.findings import Finding
from napari_vqad.findings.review import Review
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.imaging.volume import Volume, fingerprint
from napari_vqad.io.load import source_of
from napari_vqad.text import all_printable

AXIS: tuple[Literal["R"], Literal["A"], Literal["S"]] = ("R", "A", "S")


def result_dict(
    explorer: Explorer,
    volume: Volume,
    mask_note: str,
    found: list[Finding],
    *,
    review: Review,
    saved: Saved | None = None,
) -> ResultDict:
    """Collect scores, findings and everything needed to reproduce them; `ResultDict` documents the keys.

    Args:
        explorer: holds the analysis.
        volume: the scan.
        mask_note: one sentence on the source of the brain mask.
        found: the findings.
        review: the reader's verdicts on them.
        saved: when and by which version the study was saved, for a reopened one.
    """
    bundle = explorer.bundle
    grid, scores = explorer.grid, explorer.slice_scores()
    mm = [grid.slice_mm(i) for i in range(len(grid))]
    (path, series), fitness = source_of(volume), explorer.fitness()
    content: ResultDict = {
        "scan": str(path or volume.name),
        **identity(volume),
        "series": series,
        "notes": list(volume.notes),
        "edited": _edited(volume),
        "mask": mask_note,
        "alignment": grid.note or None,
        "fitness": {"fits": fitness.fits, "doubts": list(fitness.doubts), "measured": fitness.measured},
        "grid_to_scan_mm": grid.placement.round(6).tolist(),
        "mask_outside_grid": round(grid.outside, 4),
        "bundle": {"name": bundle.name, "sha256": bundle.hash},
        "settings": explorer.settings.model_dump(include=set(explorer.detector.Settings.model_fields)),
        "thresholds": {name: _threshold(*known) for name, known in in_units(explorer).items()},
        "slice_axis": AXIS[grid.axis],
        "slice_numbers": numbers(grid).tolist(),
        "slice_mm": [round(float(m), 2) for m in mm],
        "slice_scores": [None if np.isnan(s) else _significant(s) for s in scores],
        "slice_flagged": explorer.flagged_slices().tolist(),
        "sample_scores": [None if np.isnan(s) else _significant(s) for s in explorer.sample_scores()],
        "volume_score": _significant(explorer.volume_score()),
        "complete": explorer.complete,
        "slices_missing": missing_slices(explorer).tolist(),
        "findings": as_rows(found, review),
        "units": {
            "slice_numbers": "as the viewer's slider numbers them",
            "slice_mm": f"mm{grid.axis_note or ' of the scanner'}",
            "slice_scores": slice_scores.unit(explorer),
            "sample_scores": explorer.detector.slice_unit,
            "volume_score": explorer.detector.slice_unit,
            "residual": map_unit(explorer, explorer.detector.scored) if explorer.detector.scored else "",
            "pixel_score": score_unit(explorer),
            "evidence_peaks": {spec.name: spec.unit for spec in evidence_maps(explorer.maps)},
        },
        "seconds": {stage: round(s, 3) for stage, s in explorer.seconds.items()},
        "computed": [{"device": made.device, "versions": made.versions} for made in explorer.computed_with],
        "study": {"saved": saved.when.isoformat(), "napari-vqad": saved.version} if saved else None,
        "written": {"napari-vqad": napari_vqad.__version__},
    }
    return cast(ResultDict, all_printable(content))


def _edited(volume: Volume) -> EditedDict | None:
    """Return what was put into an edited scan; None for a scan as it was read."""
    if volume.edited is None:
        return None
    path, _ = source_of(volume.source)
    return {
        "original": str(path.absolute()) if path else volume.source.name,
        "original_sha256": fingerprint(volume.source),
        "anomalies": list(volume.edited.lines),
        "recipe": volume.edited.recipe.model_dump(mode="json"),
    }


def _significant(score: float) -> float:
    """Round to 3 decimals, or to 3 significant digits below 1."""
    return round(float(score), 3) if abs(score) >= 1 else float(f"{score:.3g}")


def _threshold(value: float, unit: str, percentile: float) -> ThresholdDict:
    return {"value": round(value, 4), "unit": unit, "healthy_percentile": round(percentile, 3)}
