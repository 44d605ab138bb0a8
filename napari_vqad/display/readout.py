"""The read-out at a point of a scan, as text: evidence values, pixel score and position."""

from __future__ import annotations

import numpy as np

from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.location import Locator, in_words
from napari_vqad.imaging.volume import Volume


def place(volume: Volume, mm: np.ndarray) -> str:
    """The text for a point in mm (R, A, S) of the scan's diagonal frame: scanner mm, or frame and pixel of a clip."""
    if volume.kind == "clip":
        column, row, time = (round(float(v)) for v in mm)
        return f"frame {time}, row {row}, column {column}"
    index = np.linalg.inv(volume.frame.to_mm) @ [*mm, 1.0]
    return in_words((float(v) for v in (volume.affine @ index)[:3]), volume.side_known)


def read_out(explorer: Explorer, mm: np.ndarray) -> str:
    """The values and the position of a point, such as
    "NLL 7.2 nats, 98.6th healthy percentile; score 0.41; R 32 A 10 S 55 mm".

    Values that are not computed yet are left out. R and L are measured from the head's midline, as in the list of
    findings.

    Args:
        explorer: holds a scan.
        mm: the point, (R, A, S) in the scan's diagonal frame. Outside brain or grid the text has only the position.
    """
    volume, grid = explorer.scan, explorer.grid
    parts, at = [], grid.index_at(mm)
    if at is not None and grid.mask[at]:
        for spec in evidence_maps(explorer.maps):
            if explorer.ready(spec.name)[at[0]]:
                value = float(explorer.map(spec.name)[at])
                number = f"{value:.1f}".replace("-", "−")
                parts.append(f"{spec.title} {number} {spec.unit}{_percentile(explorer, spec.name, value)}")
        if (
            explorer.complete and explorer.detector.scored is not None
        ):  # before that, each read-out would compute the score of the whole scan
            parts.append(f"score {float(explorer.map('pixel_score')[at]):.2f}")
    if volume.kind == "clip":
        return "; ".join([*parts, place(volume, mm)])
    index = (np.linalg.inv(grid.placement) @ [*mm, 1.0])[:3]
    return "; ".join([*parts, Locator.of(volume, grid).words(grid.grid_index(index))])


def _percentile(explorer: Explorer, name: str, value: float) -> str:
    healthy = explorer.detector.healthy(name, explorer.settings)
    if healthy is None:
        return ""
    table, kind = healthy
    return f", {explorer.bundle.calibration.percentile(table, value, kind=kind):.1f}th healthy percentile"
