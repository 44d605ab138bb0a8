"""Checks that the parts of a bundle belong together: a calibration of another model would flag the wrong voxels."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import get_args

from napari_vqad.detectors.base import poolings_of
from napari_vqad.detectors.calibration import Calibration, pixel_kind
from napari_vqad.detectors.pca import ROBUST
from napari_vqad.detectors.protocol import Detector
from napari_vqad.errors import InputError
from napari_vqad.files.jsonfile import short
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.template import FILE, Template
from napari_vqad.scores.fusion import LINEAR, LINEAR_WEIGHT, OWN_WEIGHT
from napari_vqad.scores.normative import NormativeMaps
from napari_vqad.settings import ADDED_POOLINGS, Scale

# Constants of fused scores. The calibration stores them, and they must equal those of the code that reads it. In files,
# the weight of the detector's own evidence has the name of the first such evidence.
MADE_WITH = {"weight of linear": LINEAR_WEIGHT, "weight of NLL": OWN_WEIGHT, "Huber SD": ROBUST}


def check_grid(folder: Path, grid: GridSpec, template: Template | None) -> None:
    """Refuse a template that is not on the model's grid.

    Raises:
        InputError: its slices have another size or spacing.
    """
    if template is None:
        return
    if template.voxels.shape[:2] != tuple(grid.shape) or abs(template.spacing - grid.spacing) > 1e-3 * grid.spacing:
        sides = "×".join(map(str, template.voxels.shape[:2]))
        raise InputError(
            f"{folder / FILE} is a template with slices of {sides} at {template.spacing:g} mm, and config.json asks "
            f"for {grid.shape[0]}×{grid.shape[1]} at {grid.spacing:g} mm."
        )


def check_agreement(
    folder: Path,
    calibration: Calibration,
    detector: Detector,
    template: Template | None,
    places: NormativeMaps,
    linear: object,
    weights: str,
) -> None:
    """Refuse a calibration or normative maps of another model.

    Args:
        folder: folder of the bundle.
        calibration, detector, template: parts of the bundle.
        places: its normative maps.
        linear: its linear model, or None.
        weights: see `Bundle.weights`.

    Raises:
        InputError: tables are missing or not of this model, or the calibration was made with other weights.
    """

    def other(why: str) -> InputError:
        return InputError(f"{folder} was calibrated {why}; run 'napari-vqad calibrate {folder}'.")

    if any(kind.endswith(" fused") for kind in calibration.pixel_score) and calibration.fused != MADE_WITH:
        raise other("for another fused score")
    if calibration.weights not in (None, weights):
        raise other("with other weights")
    of_voxels = detector.variants if detector.scored is not None else ()
    variants = list(product(of_voxels, poolings_of(detector)))
    by_scale = {scale: {pixel_kind(*v, scale) for v in variants} for scale in get_args(Scale)}
    kinds = set(calibration.pixel_score)
    # Tables of a pooling that was added later may be absent, of all variants or of some.
    added = {pixel_kind(v, p, "intensity") for v, p in variants if p in ADDED_POOLINGS}
    required = by_scale["intensity"] - (added - kinds)
    asked = required | (kinds & (by_scale["normative"] | by_scale["fused"]))
    if wrong := set(of_voxels) ^ set(calibration.residual):
        raise other(f"for another model: its table of residuals and the model do not agree on '{_first(wrong)}'")
    if wrong := asked ^ kinds:
        raise other(f"for another model: its tables and the model do not agree on '{_first(wrong)}'")
    if wrong := set(calibration.training) - kinds:
        raise other(f"for another model: its tables of training scans have '{_first(wrong)}'")
    if wrong := kinds ^ set(calibration.findings):
        raise other(f"in part: scores and findings do not agree on '{_first(wrong)}'")
    if wrong := set(calibration.own) - set(detector.tables):
        raise other(f"for another model: it has a table '{_first(wrong)}', which the model has not")
    if (why := detector.check(calibration)) is not None:
        raise other(why)
    evidence = {*detector.fused, *([LINEAR] if linear is not None else [])}
    if not _places_agree(kinds, by_scale, template, places, evidence):
        raise InputError(
            f"{folder} has a calibration and healthy means by place that do not belong together; "
            f"run 'napari-vqad calibrate {folder}'."
        )


def _places_agree(
    kinds: set[str], by_scale: dict[str, set[str]], template: Template | None, places: NormativeMaps, evidence: set[str]
) -> bool:
    """Check that each normative map has a table and each table of a normative scale a map."""
    placed, fused = kinds & by_scale["normative"], kinds & by_scale["fused"]
    if template is None and placed:
        return False
    beside = set(places.maps) - by_scale["normative"]
    of_placed, of_fused = ({kind.rpartition(" ")[0] for kind in found} for found in (placed, fused))
    agree = placed == set(places.maps) - beside and of_fused <= of_placed and beside <= evidence
    agree = agree and (not fused or beside == evidence)
    if template is not None and places.maps:
        n, h, w = places.shape
        agree = agree and template.voxels.shape == (h, w, n)
    return agree


def _first(names: set[str]) -> str:
    return short(min(names))
