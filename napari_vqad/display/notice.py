"""What the results must not be used for, and which lesions a model is too coarse for."""

from __future__ import annotations

from napari_vqad.detectors.bundle import Bundle

NOTICE = "Research use only, not a medical device."
# At 2 mm, no lesion of multiple sclerosis was found in the two labelled scans; nine in ten of their lesions are smaller
# than 0.08 mL (models/README.md, "Findings on other scanners and real lesions").
SMALL_ML, COARSE_MM = 0.1, 2.0


def notice_of(bundle: Bundle | None) -> str:
    """Return the notice, with the sentence on small lesions if the model is for heads in voxels of 2 mm or more."""
    if bundle is None:
        return NOTICE
    grid = bundle.config.grid
    if grid.kind != "head" or grid.measurements is not None or grid.spacing < COARSE_MM:
        return NOTICE
    return (
        f"{NOTICE} Lesions below {SMALL_ML:g} mL, such as most of multiple sclerosis, are out of scope: the model has "
        f"voxels of {grid.spacing:g} mm."
    )
