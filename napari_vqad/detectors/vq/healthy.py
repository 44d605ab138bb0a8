"""The calibration's tables of healthy codes, at the percentiles `calibration.LEVELS`, all in nats.

nll           quantiles of the NLL of the codes that touch the mask
nll_map       level of codes ("all", "top", "bottom") → quantiles of its NLL map over the voxels of the mask; without
              it if there is one level, because "nll" then applies to its map
slice_score   percentile of λ_s → quantiles of AS_sample at that λ_s
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.calibration import LAMBDA_LEVELS, LEVELS, Calibration, quantiles
from napari_vqad.detectors.protocol import Arrays
from napari_vqad.detectors.vq.likelihood import on_pixels
from napari_vqad.nets.vq.levels import CodeLevels

TABLES = ("nll", "nll_map")  # besides slice_score, which every calibration has


def fit_tables(results: Sequence[Arrays], masks: Sequence[NDArray], levels: CodeLevels) -> dict[str, Any]:
    """Compute the tables.

    Args:
        results: "nll" of each healthy scan, (n, h, w), nats.
        masks: mask of each scan, bool (n, H, W).
        levels: levels of the codes.
    """
    nll = np.concatenate([r["nll"] for r in results])
    table = quantiles(np.concatenate([nll_within(r, mask, levels) for r, mask in zip(results, masks, strict=True)]))
    lambdas = {f"{level:g}": float(np.interp(level, LEVELS, table)) for level in LAMBDA_LEVELS}
    slices = np.concatenate([mask.any((1, 2)) for mask in masks])
    by_level = {}
    if levels.names:
        shape = masks[0].shape[1:]
        for name in ("all", *levels.names):
            seen = [on_pixels(torch.from_numpy(r["nll"]), levels, shape, name).numpy() for r in results]
            by_level[name] = quantiles(np.concatenate([s[m] for s, m in zip(seen, masks, strict=True)]))
    scores = {k: quantiles(np.where(nll > v, nll, 0).sum((1, 2))[slices]) for k, v in lambdas.items()}
    own = {"nll": table, "nll_map": by_level} if by_level else {"nll": table}
    return own | {"slice_score": scores}


def nll_within(results: Arrays, mask: NDArray, levels: CodeLevels) -> NDArray:
    """Return the NLL, nats (M,), of the codes whose patch touches the mask (n, H, W); `results` are of its slices."""
    nll: NDArray = results["nll"][codes_within(mask, levels)]
    return nll


def codes_within(mask: NDArray, levels: CodeLevels) -> NDArray:
    """Find the codes, bool (n, rows, columns), whose patch of pixels touches the mask (n, H, W)."""
    n, height, width = mask.shape
    touched = [mask.reshape(n, h, height // h, w, width // w).any((2, 4)) for h, w in levels.shapes]
    return levels.join([torch.from_numpy(t) for t in touched]).numpy()


def check(calibration: Calibration, levels: CodeLevels) -> str | None:
    """Return why a calibration lacks the tables of these codes; None if it has them."""
    if "nll" not in calibration.own or not calibration.slice_score:
        return "without slice scores"
    named = {"all", *levels.names} if levels.names else set()
    if wrong := named ^ set(calibration.own.get("nll_map", ())):
        return f"for another model: it has not the levels of this one, '{min(wrong)}'"
    return None
