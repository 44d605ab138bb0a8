"""Checks whether a scan fits the model, since maps of an unsuitable scan look like any others.

The checks were chosen on T1 heads from the training set's scanner and from others (OASIS-1, gliomas, multiple
sclerosis), and on unsuitable scans: FLAIR, inverted, cut, upside down, of infants.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from napari_vqad.errors import InputError
from napari_vqad.imaging.field_of_view import cut_faces, in_words
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.template import Template
from napari_vqad.imaging.volume import Volume

BRAIN_ML = (850.0, 2150.0)  # of adults
EXTENT_MM = (30.0, 1000.0)  # of a head scan, along any axis
SPACING_MM = 4.0  # between slices; thicker slices show too little detail for the model
BEYOND = 0.02  # share of the mask beyond the grid
# Correlation with the template: T1 0.40 to 0.69, T1 with gadolinium 0.33 and 0.36, FLAIR 0.15.
CONTRAST = 0.24
CSF = 0.3  # share of the brain: the template's darkest voxels
NEAR = 6.0  # voxels, SD of the Gaussian
FLAGGED = 0.6  # share of the slices


@dataclass(frozen=True)
class Fitness:
    """The verdict on one scan and one model.

    Attributes:
        doubts: reasons why the scan may not fit, one sentence each; empty if it fits.
        measured: the measurements behind them, by name.
    """

    doubts: tuple[str, ...] = ()
    measured: dict[str, float] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """True if there are no doubts."""
        return not self.doubts

    @property
    def verdict(self) -> str:
        """The verdict in one line, for the user."""
        if self.fits:
            return "The scan fits the model."
        return f"The scan may not fit the model, and its maps may mislead: {' '.join(self.doubts)}"

    def with_flagged(self, share: float) -> Fitness:
        """Return the verdict after the slices are scored; `share` is the share of flagged slices, 0 to 1."""
        measured = self.measured | {"flagged_share": round(float(share), 3)}
        if share <= FLAGGED:
            return replace(self, measured=measured)
        doubt = f"{share:.0%} of the slices are flagged; the model may not know scans of this kind."
        return Fitness((*self.doubts, doubt), measured)


def check_extent(volume: Volume) -> None:
    """Check that the scan has the extent of a head.

    Raises:
        InputError: it is far too small or too large, so its voxel size must be wrong.
    """
    extent = volume.spacing * volume.voxels.shape
    if extent.min() < EXTENT_MM[0] or extent.max() > EXTENT_MM[1]:
        size = " × ".join(f"{mm:.4g}" for mm in extent)
        raise InputError(f"{volume.name} measures {size} mm, which no scan of a head does; check its voxel size.")


def assess(volume: Volume, mask: np.ndarray, grid: Grid, template: Template | None = None) -> Fitness:
    """Judge whether a scan fits the model, before any network has run.

    Args:
        volume: the scan.
        mask: bool (R, A, S), its brain.
        grid: the scan on the model's grid.
        template: the model's template, if it has one.
    """
    if grid.kind == "clip":
        return Fitness()
    ml, doubts = float(mask.sum() * np.prod(volume.spacing) / 1000), []
    measured = {"brain_ml": round(ml, 1), "beyond_grid": round(grid.outside, 4)}
    measured["slice_spacing_mm"] = round(float(volume.spacing.max()), 3)
    if not BRAIN_ML[0] <= ml <= BRAIN_ML[1]:
        doubts.append(
            f"The brain mask holds {ml:.0f} mL, and brains of adults {BRAIN_ML[0]:.0f} to {BRAIN_ML[1]:.0f} mL."
        )
    if cut := cut_faces(mask):
        doubts.append(f"The picture cuts the brain at the {in_words(cut)}.")
    if grid.outside > BEYOND:
        doubts.append(f"{grid.outside:.0%} of the brain mask lies beyond the model's grid and is not analysed.")
    if volume.spacing.max() > SPACING_MM:
        doubts.append(f"Its slices are {volume.spacing.max():.1f} mm apart; the model was trained on finer scans.")
    if grid.failed:
        doubts.append("The head could not be aligned to the template.")
    if template is not None and grid.aligned:
        measured["contrast"] = round(contrast(grid, template), 3)
        if not measured["contrast"] >= CONTRAST:
            doubts.append(
                f"Its grey and white matter do not look as in the T1-weighted heads that the model knows (correlation "
                f"with the template {measured['contrast']:.2f}; {CONTRAST:.2f} or more is expected)."
            )
    return Fitness(tuple(doubts), measured)


def contrast(grid: Grid, template: Template) -> float:
    """Correlate the local contrast of grey and white matter in a scan with the template's; −1 to 1.

    Each voxel is compared with the mean around it, since harmonised intensities of any scan follow the template on a
    large scale. CSF is excluded, since it is dark in both T1 and FLAIR.
    """
    known, share = (np.moveaxis(a, 2, 0) for a in (template.voxels, template.mask))
    sure = grid.mask & (share > 0.9)
    if sure.any():
        sure &= known > np.quantile(known[sure], CSF)
    if not sure.any():
        return 0.0
    near = np.maximum(ndimage.gaussian_filter(sure.astype(np.float32), NEAR), 1e-3)
    fine = [
        v - ndimage.gaussian_filter(np.where(sure, v, 0).astype(np.float32), NEAR) / near for v in (known, grid.slices)
    ]
    one, other = (v[sure] - v[sure].mean() for v in fine)
    spread = float(one.std() * other.std())
    return float(np.mean(one * other)) / spread if spread > 0 else 0.0
