"""An analysed scan with labels: counts from which all figures are computed, updated as settings change.

Slices and voxels are counted as in `evaluate` (`evaluate.cases.Case`): slices with fewer than 10 labelled voxels are
not counted, and labelled voxels beyond the brain mask count as missed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.voxel_sampler import VoxelSampler
from napari_vqad.scores.components import NEIGHBOURS
from napari_vqad.tuning.binned import ScoreCounts
from napari_vqad.tuning.truth import Truth


class Lesions(NamedTuple):
    """Lesions, those that a flagged voxel touches, and findings that touch no label; at one threshold."""

    lesions: int
    found: int
    false: int


@dataclass(frozen=True, eq=False)
class ScanCounts:
    """What the figures of one scan are computed from. Its size does not depend on the number of voxels.

    Attributes:
        slices, abnormal: scores of the counted slices, and which of them have labels, (n,) each.
        voxels: counts of the voxels by pixel score; None for a model that scores slices only.
        image_ap: AP of the voxels of each abnormal slice.
        lesions: None for a model that scores slices only, and for a clip.
        labelled, beyond: numbers of labelled voxels, and of those beyond the brain mask.
    """

    slices: NDArray
    abnormal: NDArray[np.bool_]
    voxels: ScoreCounts | None
    image_ap: NDArray
    lesions: Lesions | None
    labelled: int
    beyond: int


class LabelledScan:
    """The scan of an explorer with its labels. `measure` computes only what has changed since the last call."""

    def __init__(self, explorer: Explorer, truth: Truth, mask: NDArray[np.bool_]) -> None:
        """`mask` is the brain mask, bool (R, A, S) on the scan's voxels."""
        from napari_vqad.evaluate.cases import labelled_case  # slow to import

        self.truth, self.mask, self.grid, self.chosen = truth, mask, explorer.grid, explorer.chosen()
        grid, label = explorer.grid, truth.voxels
        brain = grid.mask.any((1, 2))
        if not self.chosen[brain].all():  # the user analyses a range of slices
            part = np.broadcast_to(self.chosen[:, None, None], grid.mask.shape)
            inside = grid.to_scan(part.astype(np.uint8), order=0) > 0
            grid, label, mask = replace(grid, mask=grid.mask & part), label & inside, mask & inside
        self.case = case = labelled_case("scan", grid, mask, label)
        self._counted, self._lesions = VoxelSampler(grid, case.counted), VoxelSampler(grid, case.truth)
        self._labels = case.truth[case.counted]
        beyond = case.beyond
        assert beyond is not None
        self._beyond = np.flatnonzero(beyond[case.counted])
        pieces, self._n = ndimage.label(case.truth, NEIGHBOURS)
        self._regions = pieces[case.truth]
        self._score: NDArray | None = None
        self._voxels: tuple[ScoreCounts, NDArray] | None = None
        self._flagged: NDArray | None = None
        self._found: Lesions | None = None
        self._last: ScanCounts | None = None

    def fits(self, explorer: Explorer, truth: Truth, mask: NDArray[np.bool_]) -> bool:
        """Can this object measure the explorer's present scan with these labels and this mask?"""
        same = explorer.grid is self.grid and mask is self.mask
        return same and (truth is self.truth) and np.array_equal(explorer.chosen(), self.chosen)

    def measure(self, explorer: Explorer) -> ScanCounts:
        """Return the counts for the present settings; the same object while nothing changes.

        All slices must be scored (`Explorer.complete`); slices without a score are left out.
        """
        voxels, image_ap, lesions = None, np.zeros(0), None
        if explorer.detector.scored is not None:
            voxels, image_ap = self._count_voxels(explorer.map("pixel_score"))
            lesions = self._count_lesions(explorer.map("flagged")) if self.grid.kind == "head" else None
        scores = explorer.slice_scores()
        clear, abnormal = self.case.of_slices()
        clear = clear & np.isfinite(scores)
        last, slices = self._last, scores[clear]
        same = last is not None and last.voxels is voxels and last.lesions is lesions
        if last is not None and same and np.array_equal(last.slices, slices):
            return last
        beyond = len(self._beyond)
        labelled = len(self._regions)
        self._last = ScanCounts(slices, abnormal[clear], voxels, image_ap, lesions, labelled, beyond)
        return self._last

    def _count_voxels(self, score: NDArray) -> tuple[ScoreCounts, NDArray]:
        from napari_vqad.evaluate.case_details import image_ap

        if self._voxels is None or score is not self._score:
            values = self._counted(score)
            if len(values):
                values[self._beyond] = values.min()  # as in `Case.on_truth`
            counts = ScoreCounts.of(values, self._labels, self._regions)
            self._score, self._voxels = score, (counts, image_ap(self.case, score))
        return self._voxels

    def _count_lesions(self, flagged: NDArray) -> Lesions:
        from napari_vqad.evaluate.case_details import touched

        if self._found is None or flagged is not self._flagged:
            found = len(np.unique(self._regions[self._lesions(flagged, order=0) > 0]))
            findings, true = touched(flagged > 0, self.case.label > 0)
            self._flagged, self._found = flagged, Lesions(self._n, found, findings - true)
        return self._found
