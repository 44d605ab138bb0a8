"""The fused score: residual plus evidence that a residual misses.

    fused = centre(z(residual) + w_linear · z(linear) + w_own · z(own evidence))

Each z is in healthy SDs at the same voxel; centre is `centre_on_healthy`. The *linear* model, 60 principal components
of healthy slices, represents only the coarse shape of a brain. It detects deformed or foreign tissue that a tokenizer,
being local, reproduces. The detector's *own* evidence (`Detector.fused`), such as the NLL of codes, detects healthy
tissue in the wrong arrangement. Weights were chosen on validation subjects with simulated anomalies.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.scores.normative import NormativeMaps
from napari_vqad.scores.pooling import pool

LINEAR = "linear"  # name of the linear model's evidence
LINEAR_WEIGHT, OWN_WEIGHT = 0.5, 1.0


def smoothed(evidence: NDArray, mask: NDArray) -> NDArray[np.float32]:
    """Smooth evidence from codes, (n, H, W), within the mask and over the slices that have evidence."""
    present = torch.from_numpy(evidence.any((1, 2)))
    return pool(torch.tensor(evidence), torch.from_numpy(mask), "smooth", present=present).numpy()


def standardise(maps: Mapping[str, NDArray], places: NormativeMaps, mask: NDArray) -> dict[str, NDArray]:
    """Convert maps to healthy SDs at each voxel; maps without normative maps are omitted."""
    return {name: places.zscore(name, m, mask) for name, m in maps.items() if name in places}


def middle(score: NDArray, within: NDArray) -> tuple[float, float]:
    """Compute median and 84th percentile of a score within bool (n, H, W)."""
    median, high = np.percentile(score[within], [50, 84])
    return float(median), float(high)


def centre_on_healthy(
    score: NDArray, within: NDArray, healthy: tuple[float, float], own: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Remove the offset and scale that a scan's scores have as a whole, such as from another scanner.

    If the scan's median is above the healthy one, it is shifted down to it. If the distance from median to 84th
    percentile is above the healthy one, scores are divided by the ratio. Lower scores are not raised to the healthy
    level, so that a normal scan gains no findings. Only disease of half the brain could move the median.

    Args:
        score: (n, H, W).
        within: bool (n, H, W), voxels to use; others become zero.
        healthy: median and 84th percentile of healthy scores.
        own: the scan's median and 84th percentile (`middle`), if already known.
    """
    if not within.any():
        return score
    median, high = own or middle(score, within)
    stretch = max(1.0, (high - median) / max(healthy[1] - healthy[0], 1e-6))
    return np.where(within, (score - max(0.0, median - healthy[0])) / stretch, 0).astype(np.float32)


def centre_slices(score: NDArray, within: NDArray, healthy: tuple[float, float]) -> NDArray[np.float32]:
    """Apply `centre_on_healthy` to the scan, then to each slice, which removes what a bias field adds to a slice."""
    pairs = zip(centre_on_healthy(score, within, healthy), within, strict=True)
    return np.stack([centre_on_healthy(of_slice[None], inside[None], healthy)[0] for of_slice, inside in pairs])


def weight(name: str) -> float:
    """Return the weight of a z map in the fused score."""
    return LINEAR_WEIGHT if name == LINEAR else OWN_WEIGHT


def fuse(residual: NDArray, others: Mapping[str, NDArray]) -> NDArray[np.float32]:
    """Compute the weighted sum of z maps, (n, H, W)."""
    return sum((weight(name) * z for name, z in others.items()), residual).astype(np.float32)
