"""Harmonises grey values between scans: first a smooth gain over the head, then matching of the tissues' medians.

Both steps are robust, so that they do not remove a lesion. The gain is a quadratic fitted with Tukey's weights. The
medians are computed over all brain voxels where the template is dark, medium or bright.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_vqad.imaging.template import Template

SMOOTH = 4.0  # voxels; finer structure is anatomy, not coil inhomogeneity
STEP = 3  # every n-th voxel along each axis is fitted
KNOTS = [0, 2, 4]  # of the template's bands: dark, medium, bright


@dataclass(frozen=True)
class IntensityMap:
    """Conversion of a scan's grey values v to z-scores, and back.

    Attributes:
        low, scale: first, v becomes (v − low) / scale.
        gain: second, the result is multiplied by this, float32 (R, A, S) of the grid, or a number.
        levels, targets: third, the piecewise linear curve through these points, extrapolated at both ends, gives the
            z-score.
    """

    low: float
    scale: float
    gain: np.ndarray | float
    levels: np.ndarray
    targets: np.ndarray

    def z(self, voxels: np.ndarray) -> np.ndarray:
        """Convert grey values (R, A, S) of the grid to z-scores."""
        return _curve((voxels - self.low) / self.scale * self.gain, self.levels, self.targets).astype(np.float32)

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Convert z-scores (R, A, S) of the grid to the scan's grey values."""
        return (_curve(z, self.targets, self.levels) / self.gain * self.scale + self.low).astype(np.float32)


def linear(mean: float, sd: float) -> IntensityMap:
    """Return the conversion to plain z-scores, (v − mean) / sd."""
    return IntensityMap(mean, sd, 1.0, np.array([-1.0, 1.0]), np.array([-1.0, 1.0]))


def harmonise(voxels: np.ndarray, mask: np.ndarray, template: Template) -> IntensityMap:
    """Fit the conversion that matches an aligned scan's grey values to the template's.

    Args:
        voxels: float32 (R, A, S), the scan on the template's grid.
        mask: bool (R, A, S), its brain.
        template: healthy medians, mean and SD.
    """
    low, scale = grey_range(voxels[mask])
    positive = (voxels - low) / scale
    gain = bias_gain(positive, mask, template)
    marks = medians(positive * gain, mask, template)
    targets = (template.marks - template.mean) / template.sd
    if np.isfinite(marks).all() and (np.diff(marks[KNOTS]) > 0.03).all():
        levels, targets = marks[KNOTS], targets[KNOTS]
    else:  # another contrast: the tissues cannot be told apart, so only mean and SD are matched
        inside = (positive * gain)[mask]
        spread = max(float(inside.std()), 1e-6)
        levels, targets = np.array([inside.mean() - spread, inside.mean() + spread]), np.array([-1.0, 1.0])
    return IntensityMap(low, scale, gain, levels, targets)


def grey_range(inside: np.ndarray) -> tuple[float, float]:
    """Return (low, scale) such that (v − low) / scale is about 0.15 … 1.15 in a brain.

    The shift keeps values positive, so that the gain is defined for contrasts with negative values, too. CSF is about
    0.15 in T1.
    """
    low, high = np.percentile(inside, [0.5, 98])
    scale = max(float(high - low), 1e-6)
    return float(low) - 0.15 * scale, scale


def bias_gain(voxels: np.ndarray, mask: np.ndarray, template: Template) -> np.ndarray:
    """Fit the gain, the exponential of a quadratic over the grid, that matches the smoothed scan to the template."""
    both = mask & (template.mask > 0.5)
    basis = _quadratic(mask.shape)
    chosen = np.zeros_like(both)
    chosen[::STEP, ::STEP, ::STEP] = both[::STEP, ::STEP, ::STEP]
    if chosen.sum() < 100:
        return np.ones(mask.shape, np.float32)
    wanted, had = (np.log(np.maximum(_smooth(v, both)[chosen], 0.02)) for v in (template.voxels, voxels))
    at, ratio = basis[chosen], wanted - had
    ridge = 1e-3 * len(ratio) * np.diag([0.0, *np.ones(9)])
    weight = np.ones(len(ratio))
    for _ in range(10):
        found = np.linalg.solve(at.T @ (weight[:, None] * at) + ridge, at.T @ (weight * ratio))
        rest = ratio - at @ found
        spread = 4 * 1.4826 * np.median(np.abs(rest)) + 1e-6
        weight = np.clip(1 - (rest / spread) ** 2, 0, None) ** 2
    return np.exp(basis @ found).astype(np.float32)


def medians(voxels: np.ndarray, mask: np.ndarray, template: Template) -> np.ndarray:
    """Compute the scan's median in each of the template's bands; NaN for a band without mask voxels."""
    return np.array([np.median(voxels[b & mask]) if (b & mask).any() else np.nan for b in template.bands])


def _curve(x: np.ndarray, levels: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Interpolate linearly through (levels, targets); extrapolate the first and last segment."""
    slope = np.diff(targets) / np.diff(levels)
    y = np.interp(x, levels, targets)
    y = np.where(x < levels[0], targets[0] + (x - levels[0]) * slope[0], y)
    return np.where(x > levels[-1], targets[-1] + (x - levels[-1]) * slope[-1], y)


def _smooth(voxels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    share = ndimage.gaussian_filter(mask.astype(np.float32), SMOOTH)
    return ndimage.gaussian_filter(np.where(mask, voxels, 0).astype(np.float32), SMOOTH) / np.maximum(share, 1e-3)


def _quadratic(shape: tuple[int, ...]) -> np.ndarray:
    """Return 1, x, y, z, x², y², z², xy, xz, yz over the grid, with coordinates from −1 to 1."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return np.stack([np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, x * z, y * z], -1)
