"""Healthy tables that bundles of earlier calibrations lack: of poolings that were added later.

Such a pooling has a table of held-out healthy scans, as all poolings have, and one of scans that the networks were
trained on, because Baur et al. 2018 take their threshold from the reconstruction errors of the training data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from napari_vqad.detectors.base import poolings_of
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.calibration import Calibration, pixel_kind, quantiles
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.settings import ADDED_POOLINGS, OF_TRAINING
from napari_vqad.train.calibrate import judged_values, kind_tables, scores_of
from napari_vqad.train.data import Stack

LoadTraining = Callable[[int], Stack]  # number of scans → that many training scans


def with_added_tables(
    bundle: Bundle,
    stack: Stack,
    training: LoadTraining,
    report: Callable[[str], None] = print,
    methods: Sequence[str] = (),
) -> Calibration:
    """Return the calibration of a bundle with the tables of `ADDED_POOLINGS` that it lacks; all others stay.

    Args:
        bundle: calibrated.
        stack: healthy scans that no network was trained on: the calibration split.
        training: called only if a table of training scans is missing. As many scans are used as in `stack`.
        report: called with a line of text for each scan.
        methods: only these variants; all if empty.

    Raises:
        InputError: the bundle was calibrated on another number of scans.
    """
    known, detector = bundle.calibration, bundle.detector
    variants = [v for v in detector.variants if not methods or v in methods] if detector.scored is not None else []
    if missing := _missing(known.pixel_score, variants, [p for p in ADDED_POOLINGS if p in poolings_of(detector)]):
        known = _of_held_out(bundle, stack, missing, report)
    if missing := _missing(known.training, variants, OF_TRAINING):
        report("training scans:")
        scans = training(len(np.unique(stack.scan)))
        known = _of_training(replace(bundle, calibration=known), scans, missing, report)
    return known


Missing = Mapping[str, Sequence[str]]  # variant → poolings without a table


def _missing(tables: Mapping[str, list[float]], variants: Sequence[str], poolings: Sequence[str]) -> Missing:
    lacking = {v: [p for p in poolings if pixel_kind(v, p, "intensity") not in tables] for v in variants}
    return {variant: found for variant, found in lacking.items() if found}


def _of_held_out(bundle: Bundle, stack: Stack, missing: Missing, report: Callable[[str], None]) -> Calibration:
    known, spacing = bundle.calibration, bundle.config.grid.spacing
    # Without tables a bundle allows every pooling; with some, only those that have one.
    explorer = Explorer(replace(bundle, calibration=known.model_copy(update={"pixel_score": {}})))
    grids = list(stack.grids(bundle.config.grid))
    if len(grids) != known.n_scans:
        raise InputError(
            f"{bundle.title} was calibrated on {known.n_scans} scans, and the calibration split has {len(grids)}; "
            "give the same scans, or calibrate it anew."
        )
    masks = [grid.mask for grid in grids]
    scores, findings, slices = dict(known.pixel_score), dict(known.findings), dict(known.slices)
    for variant, poolings in missing.items():
        for pooling, maps in scores_of(explorer, grids, variant, report, poolings)[1].items():
            kind = pixel_kind(variant, pooling, "intensity")
            scores[kind], findings[kind], slices[kind] = kind_tables(maps, masks, pooling, spacing)
    return known.model_copy(update={"pixel_score": scores, "findings": findings, "slices": slices})


def _of_training(bundle: Bundle, stack: Stack, missing: Missing, report: Callable[[str], None]) -> Calibration:
    explorer, grids = Explorer(bundle), list(stack.grids(bundle.config.grid))
    masks, tables = [grid.mask for grid in grids], dict(bundle.calibration.training)
    for variant, poolings in missing.items():
        for pooling, maps in scores_of(explorer, grids, variant, report, poolings)[1].items():
            tables[pixel_kind(variant, pooling, "intensity")] = quantiles(judged_values(maps, masks, pooling))
    return bundle.calibration.model_copy(update={"training": tables})
