"""Figures of labelled scans in words, for the screen and to copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from napari_vqad.tuning.figures import Figures

NAMES = {"dice": "Dice", "sensitivity": "sensitivity", "precision": "precision"}
BEST_DICE = "best Dice"  # the only figure with a threshold of its own
VOXELS = "Of all voxels in the brain mask, at the scan's own resolution, by pixel score."
SLICES = (
    "Of slices by slice score. A slice with labels is positive; slices with fewer than 10 labelled voxels, of the "
    "model's grid, are not counted."
)
AUPRO = (
    "Area under the per-region overlap, up to a false-positive rate of 0.3: small lesions count as much as large ones "
    "(Bergmann et al. 2021)."
)
IMAGE = (
    "Average precision of the voxels of each slice with labels, then the mean over these slices (Meissen et al. 2022)."
)
BEST = "2 TP / (flagged + labelled voxels), at the threshold where it is highest on these scans; other scans have less."
FOUND = "Lesions, connected labelled voxels, that a flagged voxel touches."
FALSE = "Findings without a labelled voxel."
AT = "Of voxels with a pixel score above the threshold of the slider Flag voxels, before the clean-up of findings."


class Row(NamedTuple):
    """A figure in words: its name, its value as text, the numbers to copy, and an explanation."""

    name: str
    text: str
    numbers: tuple[float, ...]
    tip: str


def rows(figures: Figures, unit: str, flagged_at: str, thresholds: tuple[float, float] | None) -> list[Row]:
    """Return the figures in words.

    Args:
        figures: the figures.
        unit: unit of the pixel score.
        flagged_at: the threshold of voxels as the user set it, such as "1/1".
        thresholds: present thresholds of voxels and of slices; None if the scores are of other settings.
    """
    slices = figures.slices.ranking
    of_slices = [
        Row("slice AUROC", _text(slices.auroc), (slices.auroc,), SLICES),
        Row("slice AP", _text(slices.ap), (slices.ap,), f"Average precision. {SLICES}"),
    ]
    if (curves := figures.voxels) is None:
        return of_slices
    ranking, best, image_ap = curves.ranking, curves.best, _mean(figures.image_ap)
    found = [
        Row("voxel AUROC", _text(ranking.auroc), (ranking.auroc,), VOXELS),
        Row("voxel AP", _text(ranking.ap), (ranking.ap,), f"Average precision. {VOXELS}"),
        Row("AUPRO", _text(curves.aupro), (curves.aupro,), AUPRO),
        Row("AP per image", _text(image_ap), (image_ap,), IMAGE),
        *of_slices,
    ]
    above = "" if np.isnan(best) else f" above {best:.2f}"
    found.append(Row(BEST_DICE, _text(ranking.dice) + above, (ranking.dice, best), f"{BEST} The unit is {unit}."))
    if thresholds is not None:
        at = curves.at(thresholds[0])
        for name in ("dice", "sensitivity", "precision"):
            value = getattr(at, name)
            found.append(Row(f"{NAMES[name]} at slider", _text(value), (value,), AT))
    if (lesions := figures.lesions) is not None:
        share = lesions.found / lesions.lesions if lesions.lesions else np.nan
        words = f"{lesions.found} of {lesions.lesions}" if lesions.lesions else "–"
        false = lesions.false / figures.scans
        often = f"{false:.1f} per scan" if figures.scans > 1 else f"{lesions.false}"
        found += [
            Row("lesions found", words, (share,), f"{FOUND} Flagged at {flagged_at}."),
            Row("false findings", often, (false,), f"{FALSE} Flagged at {flagged_at}."),
        ]
    return found


def as_text(found: Sequence[Row], about: Sequence[tuple[str, str]]) -> str:
    """Return the figures as tab-separated lines, "name, value"; `about` are lines on scan, model and settings first."""
    lines = [*about]
    for row in found:
        lines.append((row.name, "" if np.isnan(row.numbers[0]) else f"{row.numbers[0]:.6g}"))
        if len(row.numbers) > 1:
            lines.append((f"{row.name}, threshold", "" if np.isnan(row.numbers[1]) else f"{row.numbers[1]:.6g}"))
    return "".join(f"{name}\t{value}\n" for name, value in lines)


def chosen_on(scans: int, shown: bool) -> str:
    """Return the sentence on thresholds that are chosen on a number of scans, or on the one that is shown."""
    if shown:
        return "Thresholds chosen on the scan that is shown describe this scan only."
    which = "this scan describe this scan" if scans == 1 else f"these {scans} scans describe these scans"
    return f"Thresholds chosen on {which} only."


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan


def _text(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"
