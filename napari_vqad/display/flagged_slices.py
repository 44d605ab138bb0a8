"""The flagged slices as rows of a table, the highest score first."""

from __future__ import annotations

import numpy as np

from napari_vqad.display import slice_scores
from napari_vqad.engine.explorer import Explorer
from napari_vqad.findings.findings import Finding
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.imaging.volume import SIDES

COLUMNS = {
    "Rank": "By the slice score, the highest first.",
    "Slice": "The number of the slice, as on the slider below the canvas.",
    "Place": "Position of the middle of the slice.",
    "Score": "Slice score: the highest pixel scores and NLL in the slice, or the detector's own; see the settings.",
    "Healthy percentile": "Percentage of healthy slices with a lower score.",
    "Peak (SD)": "Highest pixel score in the slice, in the SD that the view Score names.",
    "Findings": "Numbers of the findings in this slice.",
}
Row = tuple[int, int, int, int, float, float, float | str, str]  # slice of the grid, and one cell per column


def place_head(grid: Grid) -> tuple[str, str]:
    """Title and tooltip of the column with the positions of a grid's slices."""
    if grid.kind == "clip":
        return "Frame", COLUMNS["Place"]
    if grid.oblique:
        return (
            "Own axis (mm)",
            "Position of the middle of the slice along the scan's own axis, which is oblique to the scanner's.",
        )
    side = SIDES[grid.axis]
    return f"{side[0]} (mm)", f"Scanner coordinate of its middle: {side[0]} above zero, {side[1]} below."


def rows_of(explorer: Explorer, found: list[Finding]) -> list[Row]:
    """The flagged slices, the highest score first. The peak is empty until the analysis is complete."""
    scores, grid = np.nan_to_num(explorer.slice_scores()), explorer.grid
    digits = slice_scores.digits(explorer)
    flagged = np.flatnonzero(explorer.flagged_slices())
    ranked = [int(i) for i in flagged[np.argsort(-scores[flagged], kind="stable")]]
    # Computing the score of a whole scan is slow, so it is not repeated after each slice.
    known = explorer.complete and explorer.detector.scored is not None
    pixels = explorer.map("pixel_score") if known else None
    number_of = numbers(grid)
    rows: list[Row] = []
    for rank, i in enumerate(ranked, start=1):
        share = slice_scores.percentile(explorer, float(scores[i]))
        cut = ", ".join(str(f.number) for f in found if f.slices[0] <= i <= f.slices[1])
        peak = "" if pixels is None else round(float(pixels[i].max()), 1)
        place = round(grid.slice_mm(i))
        rows.append((i, rank, int(number_of[i]), place, round(float(scores[i]), digits), round(share, 1), peak, cut))
    return rows
