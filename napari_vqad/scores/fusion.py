"""What a residual cannot see: the other evidence of a fused score.

    fused = level(z(residual) + w_linear · z(linear) + w_nll · z(NLL))

each z in healthy SDs at its place. The *linear* model, 60 principal components of healthy slices, knows the coarse
shape of a brain and nothing else: it objects to deformed or foreign tissue that a tokenizer, being local, copies. The
NLL objects to healthy tissue in the wrong arrangement. Weights were chosen on validation subjects with simulated
anomalies.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.scores.normative import NormativeMaps
from napari_vqad.scores.pooling import pool

NLL, LINEAR = "nll", "linear"
WEIGHTS = {LINEAR: 0.5, NLL: 1.0}


def smoothed(evidence: NDArray, mask: NDArray) -> NDArray[np.float32]:
    """Evidence that codes give, (n, H, W), averaged within the mask and the slices that have any."""
    present = torch.from_numpy(evidence.any((1, 2)))
    return pool(torch.tensor(evidence), torch.from_numpy(mask), "smooth", present=present).numpy()


def standardise(maps: Mapping[str, NDArray], places: NormativeMaps, mask: NDArray) -> dict[str, NDArray]:
    """The maps in healthy SDs at their places; those that the model does not know are left out."""
    return {name: places.zscore(name, m, mask) for name, m in maps.items() if name in places}


def middle(score: NDArray, within: NDArray) -> tuple[float, float]:
    """Median and 84th percentile of a score within bool (n, H, W)."""
    median, high = np.percentile(score[within], [50, 84])
    return float(median), float(high)


def centre_on_healthy(
    score: NDArray, within: NDArray, healthy: tuple[float, float], own: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Take off what all of a scan has, (n, H, W) within bool (n, H, W): another scanner is no lesion.

    `healthy` are the median and the 84th percentile of healthy scores. The scan's median comes down to the first, and
    the distance between both to the healthy one; never up, so that a quiet scan does not glow. Half the brain would
    have to be diseased to move the median. `own` are those of the scan (`middle`), where they are known already.
    """
    if not within.any():
        return score
    median, high = own or middle(score, within)
    stretch = max(1.0, (high - median) / max(healthy[1] - healthy[0], 1e-6))
    return np.where(within, (score - max(0.0, median - healthy[0])) / stretch, 0).astype(np.float32)


def centre_slices(score: NDArray, within: NDArray, healthy: tuple[float, float]) -> NDArray[np.float32]:
    """`centre_on_healthy` of the scan, then of each slice, which removes what a bias field adds to a whole slice."""
    pairs = zip(centre_on_healthy(score, within, healthy), within, strict=True)
    return np.stack([centre_on_healthy(of_slice[None], inside[None], healthy)[0] for of_slice, inside in pairs])


def fuse(residual: NDArray, others: Mapping[str, NDArray]) -> NDArray[np.float32]:
    """The weighted sum of z maps, (n, H, W)."""
    return sum((WEIGHTS[name] * z for name, z in others.items()), residual).astype(np.float32)
