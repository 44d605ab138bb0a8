"""Calibration: the scores of healthy scans that no network was trained on, as quantiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import numpy as np
from scipy import ndimage

from napari_vqad.bundle import Bundle
from napari_vqad.calibration import LAMBDA_LEVELS, LEVELS, Calibration
from napari_vqad.explorer import Explorer
from napari_vqad.settings import Method, Settings
from napari_vqad.train.data import Stack

FINDING_VOXELS = 10


def calibrate(bundle: Bundle, stack: Stack, report: Callable[[str], None] = print) -> Calibration:
    """Quantiles of NLL, slice score, residual and pixel score (per method, at the default settings), and findings.

    Args:
        bundle: trained; its own calibration is not looked at.
        stack: healthy scans of the calibration split.
        report: told of each scan.
    """
    spec = bundle.config.grid
    explorer = Explorer(bundle)
    code_nll, touches = [], []
    for grid in stack.grids(spec):
        explorer.take(grid)
        for _ in explorer.work(stages=("nll",)):
            pass
        code_nll.append(explorer.code_nll())
        touches.append(_codes_of(grid.mask, code_nll[-1].shape[1:]))
    nll, touched = np.concatenate(code_nll), np.concatenate(touches)
    table = _quantiles(nll[touched])
    lambdas = {f"{level:g}": float(np.interp(level, LEVELS, table)) for level in LAMBDA_LEVELS}
    first = Calibration(
        n_scans=len(code_nll),
        n_slices=len(nll),
        finding_voxels=FINDING_VOXELS,
        levels=list(LEVELS),
        nll=table,
        slice_score={k: _quantiles(np.where(nll > v, nll, 0).sum((1, 2))) for k, v in lambdas.items()},
        residual={},
        pixel_score={},
        findings={},
    )

    explorer = Explorer(replace(bundle, calibration=first))
    tables: dict[str, dict[str, list[float]]] = {"residual": {}, "pixel_score": {}, "findings": {}}
    for method in get_args(Method):
        residuals, scores, volumes = [], [], []
        for number, grid in enumerate(stack.grids(spec)):
            explorer.take(grid)
            explorer.change(Settings(method=method))
            for _ in explorer.work():
                pass
            residuals.append(explorer.map("residual")[grid.mask])
            volumes.append(explorer.map("pixel_score"))
            scores.append(volumes[-1][grid.mask])
            report(f"{method}: scan {number + 1} of {first.n_scans}")
        tables["residual"][method] = _quantiles(np.concatenate(residuals))
        tables["pixel_score"][method] = _quantiles(np.concatenate(scores))
        tables["findings"][method] = [
            float(np.mean([count_findings(v > t) for v in volumes])) for t in tables["pixel_score"][method]
        ]
    return first.model_copy(update=tables)


def count_findings(flagged: np.ndarray, least: int = FINDING_VOXELS) -> int:
    """Connected components (26 neighbours) of at least `least` voxels."""
    pieces, _ = ndimage.label(flagged, np.ones((3, 3, 3)))
    return int((np.bincount(pieces.ravel())[1:] >= least).sum())


def _codes_of(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Codes (n, h, w) whose patch of pixels touches the mask (n, H, W)."""
    n, height, width = mask.shape
    h, w = shape
    return np.asarray(mask.reshape(n, h, height // h, w, width // w).any((2, 4)))


def _quantiles(values: np.ndarray) -> list[float]:
    return [float(v) for v in np.percentile(values, LEVELS)]
