"""What an analysis of one scan is described by in a few numbers, with and without a label.

    voxel AP, AUROC, best Dice    of the pixel scores of the scan's voxels, within the brain or labelled
    slice AUROC                   of the slice scores that flag slices
    lesion-wise sensitivity       lesions touched by a flagged voxel / lesions
    false findings                findings that touch no labelled voxel

Labelled voxels and lesions in slices that are not analysed count as missed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.detectors.protocol import Detector
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.case_details import touched
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.metrics import rank
from napari_vqad.imaging.volume import Kind
from napari_vqad.scores.components import NEIGHBOURS


@dataclass(frozen=True)
class ScanMeasure:
    """A number that describes an analysis.

    Attributes:
        title: name in lists and tables.
        explained: a sentence that says what it is.
        unit: its unit; "" for counts and shares, and where the pixel score's unit depends on the settings.
        digits: decimals to show.
        labelled: True if it needs a label.
    """

    title: str
    explained: str
    unit: str = ""
    digits: int = 0
    labelled: bool = False


MEASURES: dict[str, ScanMeasure] = {
    "flagged_ml": ScanMeasure("flagged volume", "Volume of the flagged voxels.", "mL", 2),
    "flagged_percent": ScanMeasure("flagged pixels", "Share of the pixels that are flagged.", "%", 2),
    "findings": ScanMeasure("findings", "Number of findings."),
    "flagged_slices": ScanMeasure("flagged slices", "Number of flagged slices."),
    "highest": ScanMeasure("highest pixel score", "The highest pixel score of the scan.", "", 2),
    "highest_slice": ScanMeasure("highest slice score", "The highest slice score of the scan.", "", 2),
    "volume_score": ScanMeasure("volume score", "The sum of the detector's own slice scores over all slices.", "", 1),
    "spread": ScanMeasure(
        "mean disagreement", "SD among the restorations of each voxel, mean over the analysed brain.", "SD", 3
    ),
    "voxel_ap": ScanMeasure("voxel AP", "Average precision of the pixel scores.", "", 3, True),
    "voxel_auroc": ScanMeasure("voxel AUROC", "AUROC of the pixel scores.", "", 3, True),
    "dice": ScanMeasure("best Dice", "Dice at the threshold that is best for this label: an upper bound.", "", 3, True),
    "slice_auroc": ScanMeasure("slice AUROC", "AUROC of the slice scores.", "", 3, True),
    "sensitivity": ScanMeasure(
        "lesions found", "Share of the labelled lesions that a flagged voxel touches.", "", 2, True
    ),
    "false_findings": ScanMeasure("false findings", "Findings that touch no labelled voxel.", "", 0, True),
}
OF_VOXELS = ("findings", "highest", "voxel_ap", "voxel_auroc", "dice", "sensitivity", "false_findings")


def measures_of(detector: Detector, kind: Kind, labelled: bool) -> list[str]:
    """List the measures that a detector has on a head or a clip; those of labels only if `labelled`."""
    there = {"flagged_slices", "highest_slice", "slice_auroc"}
    if detector.scored is not None:
        there |= {*OF_VOXELS, "flagged_ml" if kind == "head" else "flagged_percent"}
    if any(spec.role == "spread" for spec in detector.maps):
        there.add("spread")
    if detector.slice_title is not None:
        there.add("volume_score")
    return [name for name, measure in MEASURES.items() if name in there and (labelled or not measure.labelled)]


def measure(explorer: Explorer, case: Case, labelled: bool) -> dict[str, float]:
    """Describe an analysis that is complete.

    Args:
        explorer: has analysed the scan.
        case: the scan, and its label; see `cases.labelled_case`.
        labelled: False if the label is not known.

    Returns:
        Each of `measures_of`; NaN where it is not defined, such as AP without a labelled voxel.
    """
    grid, detector = explorer.grid, explorer.detector
    slices = explorer.slice_scores()
    found = {"flagged_slices": float(explorer.flagged_slices().sum()), "highest_slice": _highest(slices)}
    if detector.slice_title is not None:
        found["volume_score"] = explorer.volume_score()
    analysed = grid.mask & explorer.chosen()[:, None, None]
    for name in (spec.name for spec in detector.maps if spec.role == "spread"):
        found["spread"] = float(explorer.map(name)[analysed].mean()) if analysed.any() else np.nan
    if labelled:
        clear, positive = case.of_slices()
        known = clear & np.isfinite(slices)
        found["slice_auroc"] = rank(slices[known], positive[known]).auroc
    if detector.scored is not None:
        found |= _of_voxels(explorer, case, analysed, labelled)
    return {name: found[name] for name in measures_of(detector, grid.kind, labelled)}


def _of_voxels(explorer: Explorer, case: Case, analysed: NDArray[np.bool_], labelled: bool) -> dict[str, float]:
    score, flagged = explorer.map("pixel_score"), explorer.map("flagged") > 0
    found = {
        "flagged_ml": float(flagged.sum()) * case.grid.voxel_ml if case.grid.kind == "head" else np.nan,
        "flagged_percent": 100 * float(flagged.sum()) / max(int(analysed.sum()), 1),
        "findings": float(ndimage.label(flagged, NEIGHBOURS)[1]),
        "highest": _highest(score[analysed]),
    }
    if labelled:
        ranked = rank(case.on_truth(score), case.truth[case.counted])
        found |= {"voxel_ap": ranked.ap, "voxel_auroc": ranked.auroc, "dice": ranked.dice}
        on_scan = flagged if case.truth.shape == flagged.shape else case.grid.to_scan(flagged, order=0) > 0
        lesions, hit = touched(case.truth, on_scan)
        findings, true = touched(flagged, case.label > 0)
        found |= {"sensitivity": hit / lesions if lesions else np.nan, "false_findings": float(findings - true)}
    return found


def _highest(values: NDArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else np.nan
