"""What a detector table needs of a case besides scores: Dice and lesions at healthy thresholds, AP of each image.

Dice = 2·TP / (flagged + positives), of the voxels of one scan                     (Baur et al. 2018)
AP of an image: average precision of the voxels of one slice                       (Meissen et al. 2022)
agreement of neighbouring slices = Σ_i 2·|F_i ∩ F_i+1| / Σ_i (|F_i| + |F_i+1|), F_i the flagged voxels of slice i
sensitivity = lesions touched by a flagged voxel / lesions; a false finding touches no labelled voxel
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.metrics import rank
from napari_vqad.scores.components import NEIGHBOURS


class CaseDetails(NamedTuple):
    """Numbers of one case.

    Attributes:
        hits, flagged, positives: counted voxels of the scan that are flagged and abnormal, flagged, and abnormal, at
            the healthy percentile.
        lesions, found, false: lesions, those that a flagged voxel touches, and findings that touch no labelled voxel,
            at the healthy rate of findings.
        shared, paired: numerator and denominator of the agreement of neighbouring slices, at the healthy percentile.
        image_ap: AP of each slice that counts as abnormal, (images,).
    """

    hits: float
    flagged: float
    positives: float
    lesions: float
    found: float
    false: float
    shared: float
    paired: float
    image_ap: NDArray

    @property
    def dice(self) -> float:
        """Dice of the scan; NaN without abnormal voxels."""
        return 2 * self.hits / (self.flagged + self.positives) if self.positives else np.nan

    def as_vector(self) -> NDArray:
        """Return all numbers in one vector, to be stored."""
        return np.concatenate([np.array(self[:-1], float), self.image_ap])

    @classmethod
    def of_vector(cls, vector: NDArray) -> Self:
        """Read what `as_vector` returned; an empty vector, of a case without pixel scores, becomes NaN."""
        numbers = len(cls._fields) - 1
        if len(vector) < numbers:
            vector = np.full(numbers, np.nan)
        return cls._make([*map(float, vector[:numbers]), vector[numbers:]])


def details_at(percentile: str, rate: str) -> Callable[[Case, Explorer], NDArray]:
    """Return a function that computes `CaseDetails` of a scored case, as a vector.

    Args:
        percentile: healthy percentile of the pixel score above which voxels are flagged for Dice, such as "p98".
        rate: healthy rate of findings at which lesions are counted, such as "1/1".
    """

    def measure(case: Case, explorer: Explorer) -> NDArray:
        voxels, truth = _flagged(case, explorer, percentile)[case.counted], case.truth[case.counted]
        agreement = neighbours(explorer.map("flagged") > 0)
        pieces = _flagged(case, explorer, rate)
        lesions, found = touched(case.truth, pieces)
        findings, true = touched(explorer.map("flagged") > 0, case.label > 0)
        dice = ((voxels & truth).sum(), voxels.sum(), truth.sum())
        counts = (*dice, lesions, found, findings - true, *agreement)
        return CaseDetails(*counts, image_ap(case, explorer.map("pixel_score"))).as_vector()

    return measure


def neighbours(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Return 2 Σ |F_i ∩ F_i+1| and Σ (|F_i| + |F_i+1|) over neighbouring slices of a mask (n, H, W)."""
    below, above = mask[:-1], mask[1:]
    return 2.0 * float((below & above).sum()), float(below.sum() + above.sum())


def _flagged(case: Case, explorer: Explorer, threshold: str) -> NDArray[np.bool_]:
    """Flag voxels above a healthy threshold, cleaned up as the settings say, on the voxels of the case's truth."""
    explorer.change(explorer.settings.model_copy(update={"flag_voxels": threshold}))
    flagged = explorer.map("flagged")
    on_scan = flagged if case.truth.shape == flagged.shape else case.grid.to_scan(flagged, order=0)
    return on_scan > 0


def touched(objects: NDArray, marks: NDArray) -> tuple[int, int]:
    """Count the connected components of a mask, bool (n, H, W), and those that contain a marked voxel."""
    pieces, n = ndimage.label(objects, NEIGHBOURS)
    return n, len(np.unique(pieces[marks & (pieces > 0)]))


def image_ap(case: Case, score: NDArray) -> NDArray:
    """Compute the AP of the voxels of each abnormal slice from the pixel score, (n, H, W) on the model's grid."""
    clear, positive = case.of_slices()
    mask = case.grid.mask
    lesion = case.label > 0.5
    counted = mask if case.beyond is None else mask | lesion
    score = score if case.beyond is None else np.where(mask, score, score.min())  # see `Case.on_truth`
    found = [rank(score[i][counted[i]], lesion[i][counted[i]]).ap for i in np.flatnonzero(clear & positive)]
    return np.array([ap for ap in found if not np.isnan(ap)])
