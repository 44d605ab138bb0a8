"""Findings in a patient's terms: where, how large, how unlikely; for tables, reports and files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_vqad.explorer import Explorer
from napari_vqad.grid import Grid
from napari_vqad.scores.findings import Piece, pieces_of
from napari_vqad.volume import Volume, on_side

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
        reach: scanner mm (S) of its lowest and its highest voxel.
        ml: volume.
        peak, mean: pixel score, in the unit of its map.
        nll: highest NLL within it as the map shows it, nats.
        piece: its voxels on the grid.
        final: will it stay as it is? Not where it reaches to a slice whose score is not final yet.
        top: grid index of the voxel with the peak score. At another threshold a piece grows or shrinks about it.
    """

    number: int
    side: Side
    centre: tuple[float, float, float]
    slices: tuple[int, int]
    reach: tuple[float, float]
    ml: float
    peak: float
    mean: float
    nll: float
    piece: Piece
    top: tuple[int, int, int]
    final: bool = True

    @property
    def where(self) -> str:
        """The centre in words: "R 32 A 10 S 55 mm"."""
        return in_words(self.centre)

    @property
    def extent(self) -> str:
        """How low and how high it reaches, in words: "I 4 to S 12 mm"."""
        low, high = (on_side(2, mm) for mm in self.reach)
        return f"{low} to {high} mm"


def findings(explorer: Explorer) -> list[Finding]:
    """The pieces of what is flagged in the scan that the explorer holds, the weightiest first."""
    volume, grid = explorer.volume, explorer.grid
    assert volume is not None  # a bare grid belongs to no patient
    pieces = pieces_of(explorer.map("flagged") > 0, explorer.map("pixel_score"), least=1)
    # Both maps are affine, and with thousands of pieces asked for once.
    to_mm = _Affine.of(lambda index: scanner_mm(volume, grid, index))
    mm = np.linalg.norm(grid.placement[:3, 0])
    to_right = _Affine.of(lambda index: (grid.axes_index(index)[:, :1] - _midline(grid)) * mm)
    make = _Patient(explorer.map("pixel_score"), explorer.map("nll"), grid.voxel_ml, to_mm, to_right).finding
    open_ = explorer.chosen() & ~explorer.ready("pixel_score")
    return [
        replace(made, final=False) if open_[max(0, made.slices[0] - 1) : made.slices[1] + 2].any() else made
        for made in (make(number, piece) for number, piece in enumerate(pieces, start=1))
    ]


def in_words(mm: Iterable[float]) -> str:
    """Scanner mm (R, A, S) as letters of the side that they lie on: (−32, 10, 55) is "L 32 A 10 S 55 mm"."""
    return " ".join(on_side(axis, v) for axis, v in enumerate(mm)) + " mm"


def scanner_mm(volume: Volume, grid: Grid, index: NDArray) -> NDArray:
    """(…, 3) indices of the grid (slice, row, column) → scanner mm (R, A, S), along oblique axes, too."""
    to_voxel = np.linalg.inv(volume.frame.to_mm) @ grid.placement
    return _apply(volume.affine @ to_voxel, grid.axes_index(index))


class _Affine(NamedTuple):
    """An affine map of grid indices, as what it makes of the first voxel and of a step along each axis."""

    origin: NDArray
    steps: NDArray

    @classmethod
    def of(cls, made: Callable[[NDArray], NDArray]) -> _Affine:
        origin = made(np.zeros((1, 3)))
        return cls(origin[0], made(np.eye(3)) - origin)

    def __call__(self, index: NDArray) -> NDArray:
        return self.origin + index @ self.steps


@dataclass(frozen=True)
class _Patient:
    """What a piece of the grid is measured in: `to_right` is mm from the midline, to the patient's right."""

    score: NDArray
    nll: NDArray
    voxel_ml: float
    to_mm: _Affine
    to_right: _Affine

    def finding(self, number: int, piece: Piece) -> Finding:
        indices, slices = piece.indices, piece.box[0]
        r, a, s = (float(v) for v in self.to_mm(piece.middle))
        height = self.to_mm(indices)[:, 2]
        right = self.to_right(indices)
        side: Side = "midline" if abs(right.mean()) < MIDLINE else "right" if right.mean() > 0 else "left"
        if right.min() < -MIDLINE and right.max() > MIDLINE:
            side = "both"
        x, y, z = (int(v) for v in indices[self.score[piece.box][piece.inside].argmax()])
        return Finding(
            number,
            side,
            (r, a, s),
            (slices.start, slices.stop - 1),
            (float(height.min()), float(height.max())),
            piece.voxels * self.voxel_ml,
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
