"""Findings in anatomical terms: location, size and scores, for tables, reports and files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.location import Locator, Mm, Side, in_words
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.imaging.volume import side_label
from napari_vqad.scores.components import Component, components_of


class Evidence(NamedTuple):
    """The highest value of one evidence map within a finding: the name of the map, its title and unit, the value."""

    map: str
    title: str
    unit: str
    peak: float


@dataclass(frozen=True)
class Finding:
    """One finding of a scan.

    Attributes:
        number: from 1; the finding with the largest sum of scores is first.
        side: the patient's side, from the mean over its voxels; "both" if it reaches far to either side of the midline;
            "unknown" if the scan does not say which side is right.
        centre: scanner mm to the patient's Right, Anterior and Superior, of the voxel of the finding that is nearest to
            its centroid, so that it always lies within.
        head: the same, but R in mm from the head's midline.
        slices: first and last slice, indices on the model's grid.
        numbers: lowest and highest slice number on the slider (`slice_numbers`).
        reach: scanner mm (S) of its lowest and its highest voxel.
        ml: volume.
        peak, mean: pixel score, in `unit`.
        unit: unit of the pixel score: "SD", or the unit of the map that is pooled into it.
        evidence: highest value within it of each evidence map of the detector, such as NLL.
        piece: its voxels on the grid.
        final: False if it touches or adjoins a slice whose score is not final yet, and may change.
        top: grid index of the voxel with the peak score. If the threshold changes, the finding grows or shrinks
            around it.
    """

    number: int
    side: Side
    centre: Mm
    head: Mm
    slices: tuple[int, int]
    numbers: tuple[int, int]
    reach: tuple[float, float]
    ml: float
    peak: float
    mean: float
    unit: str
    evidence: tuple[Evidence, ...]
    piece: Component
    top: tuple[int, int, int]
    final: bool = True

    @property
    def where(self) -> str:
        """The centre in words, "R 32 A 10 S 55 mm": R and L from the head's midline, the others in the scanner."""
        return in_words(self.head, self.side != "unknown")

    @property
    def scanner(self) -> str:
        """The centre in words, in scanner mm."""
        return in_words(self.centre, self.side != "unknown")

    @property
    def extent(self) -> str:
        """The lowest and the highest point in words: "I 4 to S 12 mm"."""
        known = self.side != "unknown"
        low, high = (side_label(2, mm, known) for mm in self.reach)
        return f"{low} to {high} mm"


def findings(explorer: Explorer) -> list[Finding]:
    """List the findings in the explorer's scan, the largest sum of scores first."""
    volume, grid = explorer.scan, explorer.grid
    score = explorer.map("pixel_score")
    evidence = [(spec, explorer.map(spec.name)) for spec in evidence_maps(explorer.maps)]
    unit = explorer.bundle.unit(explorer.scale())
    locator, number_of = Locator.of(volume, grid), numbers(grid)
    open_ = explorer.chosen() & ~explorer.ready("pixel_score")

    def make(number: int, piece: Component) -> Finding:
        indices, slices = piece.indices, (piece.box[0].start, piece.box[0].stop - 1)
        side, centre, head, reach = locator.locate(indices, piece.medoid)
        x, y, z = (int(v) for v in indices[score[piece.box][piece.inside].argmax()])
        first, last = sorted(int(number_of[i]) for i in slices)
        return Finding(
            number,
            side,
            centre,
            head,
            slices,
            (first, last),
            reach,
            piece.voxels * grid.voxel_ml,
            piece.peak,
            piece.mean,
            unit,
            tuple(Evidence(s.name, s.title, s.unit, float(m[piece.box][piece.inside].max())) for s, m in evidence),
            piece,
            (x, y, z),
            not open_[max(0, slices[0] - 1) : slices[1] + 2].any(),
        )

    pieces = components_of(explorer.map("flagged") > 0, score, least=1)
    return [make(number, piece) for number, piece in enumerate(pieces, start=1)]
