"""Do the parts of a bundle belong together? A calibration of another model loads well and flags the wrong voxels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import get_args

from napari_vqad.detectors.calibration import Calibration, pixel_kind
from napari_vqad.detectors.evidence import MADE_WITH
from napari_vqad.errors import InputError
from napari_vqad.files.jsonfile import short
from napari_vqad.imaging.grid import GridSpec
from napari_vqad.imaging.template import FILE, Template
from napari_vqad.nets.vq.levels import Levels
from napari_vqad.scores.fusion import LINEAR, NLL
from napari_vqad.scores.normative import Places
from napari_vqad.settings import Pooling


def check_grid(folder: Path, grid: GridSpec, template: Template | None) -> None:
    """Refuse a template that is not on the model's grid.

    Raises:
        InputError: it has other slices, or another spacing.
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
    methods: Sequence[str],
    levels: Levels,
    template: Template | None,
    places: Places,
    weights: str,
) -> None:
    """Refuse a calibration, or healthy means by place, of another model.

    Args:
        folder: the bundle's.
        calibration, template, places: its parts.
        methods: the ways of restoring that its prior knows.
        levels: of its codes.
        weights: as of `Bundle.weights`.

    Raises:
        InputError: the tables are not those that the model needs; or the calibration names other weights.
    """

    def other(why: str) -> InputError:
        return InputError(f"{folder} was calibrated {why}; run 'napari-vqad calibrate {folder}'.")

    if any(kind.endswith(" fused") for kind in calibration.pixel_score) and calibration.fused != MADE_WITH:
        raise other("for another fused score")
    if calibration.weights not in (None, weights):
        raise other("with other weights")
    ways = list(product(methods, get_args(Pooling)))
    by_scale = {scale: {pixel_kind(*way, scale) for way in ways} for scale in ("plain", "place", "fused")}
    kinds = set(calibration.pixel_score)
    asked = by_scale["plain"] | (kinds & (by_scale["place"] | by_scale["fused"]))
    if wrong := set(methods) ^ set(calibration.residual):
        raise other(f"for another model: its table of residuals and the model do not agree on '{_first(wrong)}'")
    if wrong := asked ^ kinds:
        raise other(f"for another model: its tables and the model do not agree on '{_first(wrong)}'")
    if wrong := kinds ^ set(calibration.findings):
        raise other(f"in part: scores and findings do not agree on '{_first(wrong)}'")
    if not calibration.slice_score:
        raise other("without slice scores")
    named = {"all", *levels.names} if levels.names else set()
    if wrong := named ^ set(calibration.nll_map):
        raise other(f"for another model: it has not the levels of this one, '{_first(wrong)}'")
    _check_places(folder, kinds, by_scale, template, places)


def _check_places(
    folder: Path, kinds: set[str], by_scale: dict[str, set[str]], template: Template | None, places: Places
) -> None:
    """Is there a table for each healthy mean by place, and a mean for each table?"""
    by_place, fused = kinds & by_scale["place"], kinds & by_scale["fused"]
    beside = {NLL, LINEAR}
    of_place, of_fused = ({kind.rpartition(" ")[0] for kind in found} for found in (by_place, fused))
    agree = by_place == set(places.maps) - beside and of_fused <= of_place
    agree = agree and (not fused or beside <= set(places.maps))
    if template is not None and places.maps:
        n, h, w = places.shape
        agree = agree and template.voxels.shape == (h, w, n)
    if not agree or (template is None and by_place):
        raise InputError(
            f"{folder} has a calibration and healthy means by place that do not belong together; "
            f"run 'napari-vqad calibrate {folder}'."
        )


def _first(names: set[str]) -> str:
    return short(min(names))
