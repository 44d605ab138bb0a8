"""Figures of one or several labelled scans, and whether their labels allow them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_vqad.tuning.binned import added
from napari_vqad.tuning.curves import Curves
from napari_vqad.tuning.labelled_scan import Lesions, ScanCounts


@dataclass(frozen=True, eq=False)
class Figures:
    """How well the scores agree with the labels of some scans.

    Attributes:
        scans: number of scans.
        slices, voxels: curves of the slice scores, exact, and of the pixel scores, rounded; None without such scores.
        image_ap: AP of the voxels of each abnormal slice (Meissen et al. 2022), (images,).
        lesions: summed over the scans; None if a scan has none.
    """

    scans: int
    slices: Curves
    voxels: Curves | None
    image_ap: np.ndarray
    lesions: Lesions | None

    @classmethod
    def of(cls, scans: Sequence[ScanCounts]) -> Figures:
        """Compute the figures of all scans together; there must be at least one."""
        slices = Curves.of_scores(
            *(np.concatenate(part) for part in zip(*((s.slices, s.abnormal) for s in scans), strict=True))
        )
        counted = [s.voxels for s in scans if s.voxels is not None]
        found = [s.lesions for s in scans if s.lesions is not None]
        return cls(
            len(scans),
            slices,
            Curves.of_counts(added(counted)) if len(counted) == len(scans) else None,
            np.concatenate([s.image_ap for s in scans]),
            Lesions(*(sum(column) for column in zip(*found, strict=True))) if len(found) == len(scans) else None,
        )

    @property
    def clickable(self) -> Curves:
        """The curves whose thresholds can be chosen on the plots: those of the voxels, if there are any."""
        return self.slices if self.voxels is None else self.voxels


def trouble(scans: Sequence[ScanCounts]) -> str:
    """Return a sentence if the labels allow no figures or not all; empty if they do."""
    labelled, beyond = (sum(getattr(s, name) for s in scans) for name in ("labelled", "beyond"))
    which = "this scan" if len(scans) == 1 else "these scans"
    if not labelled:
        return f"No analysed voxel of {which} is labelled, so only false findings can be counted."
    if beyond == labelled:
        return f"All labelled voxels lie outside the brain mask of {which}, where no model can find them."
    figures = Figures.of(scans)
    for curves, what in ((figures.voxels, "voxels in the brain"), (figures.slices, "slices")):
        if curves is not None and len(curves.true) and curves.true[-1] == curves.flagged[-1]:
            return f"All {what} are labelled, so AUROC and AP of {what.split()[0]} are not defined."
    if not figures.slices.known:
        return "No slice has 10 labelled voxels of the model's grid, so AUROC and AP of slices are not defined."
    if beyond:
        return f"{beyond / labelled:.0%} of the labelled voxels lie outside the brain mask; they count as missed."
    return ""
