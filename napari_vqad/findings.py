"""Findings in a patient's terms: where, how large, how unlikely; for tables, reports and files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_vqad.explorer import Explorer
from napari_vqad.grid import Grid
from napari_vqad.scores.findings import Piece, pieces_of
from napari_vqad.volume import Volume

Side = Literal["right", "left", "midline", "both"]
MIDLINE = 5.0  # mm; a finding whose middle is nearer to the midline is on neither side


@dataclass(frozen=True)
class Finding:
    """One finding of a scan.

    Attributes:
        number: from 1, the weightiest (sum of its scores) first.
        side: the patient's, by where its middle is; "both" where it reaches out on either side.
        centre: scanner mm to the patient's Right, Anterior and Superior, of the voxel of the piece that is nearest to
            its centroid; so it lies within, whatever the shape.
        slices: first and last slice of the model's grid.
        ml: volume.
        peak, mean: pixel score, in the unit of its map.
        nll: highest NLL within it as the map shows it, nats.
        piece: its voxels on the grid.
        top: grid index of the voxel with the peak score. At another threshold a piece grows or shrinks about it.
    """

    number: int
    side: Side
    centre: tuple[float, float, float]
    slices: tuple[int, int]
    ml: float
    peak: float
    mean: float
    nll: float
    piece: Piece
    top: tuple[int, int, int]

    @property
    def where(self) -> str:
        """The centre in words: "R 32 A 10 S 55 mm"."""
        return in_words(self.centre)


def findings(explorer: Explorer) -> list[Finding]:
    """The pieces of what is flagged in the scan that the explorer holds, the weightiest first."""
    volume, grid = explorer.volume, explorer.grid
    assert volume is not None  # a bare grid belongs to no patient
    pieces = pieces_of(explorer.map("flagged") > 0, explorer.map("pixel_score"), least=1)
    make = _Patient(volume, grid, explorer.map("pixel_score"), explorer.map("nll"), _midline(grid)).finding
    return [make(number, piece) for number, piece in enumerate(pieces, start=1)]


def in_words(mm: Iterable[float]) -> str:
    """Scanner mm (R, A, S) as letters of the side that they lie on: (−32, 10, 55) is "L 32 A 10 S 55 mm"."""
    parts = [f"{pair[v < 0]} {abs(v):.0f}" for pair, v in zip(("RL", "AP", "SI"), mm, strict=True)]
    return " ".join(parts) + " mm"


def scanner_mm(volume: Volume, grid: Grid, index: NDArray) -> NDArray:
    """(…, 3) indices of the grid (slice, row, column) → scanner mm (R, A, S), along oblique axes, too."""
    to_voxel = np.linalg.inv(volume.frame.to_mm) @ grid.placement
    return _apply(volume.affine @ to_voxel, grid.axes_index(index))


@dataclass(frozen=True)
class _Patient:
    """What a piece of the grid is measured in."""

    volume: Volume
    grid: Grid
    score: NDArray
    nll: NDArray
    middle: float

    def finding(self, number: int, piece: Piece) -> Finding:
        grid, indices, slices = self.grid, piece.indices, piece.box[0]
        r, a, s = (float(v) for v in scanner_mm(self.volume, grid, piece.middle))
        right = (grid.axes_index(indices)[:, 0] - self.middle) * np.linalg.norm(grid.placement[:3, 0])
        side: Side = "midline" if abs(right.mean()) < MIDLINE else "right" if right.mean() > 0 else "left"
        if right.min() < -MIDLINE and right.max() > MIDLINE:
            side = "both"
        x, y, z = (int(v) for v in indices[self.score[piece.box][piece.inside].argmax()])
        return Finding(
            number,
            side,
            (r, a, s),
            (slices.start, slices.stop - 1),
            piece.voxels * grid.voxel_ml,
            piece.peak,
            piece.mean,
            float(self.nll[piece.box][piece.inside].max()),
            piece,
            (x, y, z),
        )


def _midline(grid: Grid) -> float:
    """Index along the grid's axis to the right: the template's middle, or that between the mask's sides."""
    if grid.aligned:
        return (grid.to_axes(grid.mask).shape[0] - 1) / 2
    r = grid.axes_index(np.argwhere(grid.mask))[:, 0]
    return float((r.min() + r.max()) / 2)


def _apply(affine: NDArray, index: NDArray) -> NDArray:
    return index @ affine[:3, :3].T + affine[:3, 3]
