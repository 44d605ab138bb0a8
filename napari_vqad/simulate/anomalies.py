"""Simulated anomalies for choosing settings on the validation subjects.

They differ from those of the test set in shape (superellipsoids and thresholded smooth noise instead of balls), seeds
and levels. They must not be tuned to resemble the test set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import ndimage

from napari_vqad.imaging.grid import Grid


def add_anomaly(grid: Grid, kind: str, rng: np.random.Generator) -> tuple[Grid, np.ndarray]:
    """Add one anomaly to a healthy scan on the grid.

    Args:
        grid: healthy, z-scored.
        kind: one of `KINDS`.
        rng: position, shape and strength are drawn from it.

    Returns:
        the changed grid, and the label of the anomaly, bool (n, H, W).
    """
    weight = ellipsoid(grid.mask, rng) if rng.random() < 0.5 else cloud(grid.mask, rng)
    weight = ndimage.gaussian_filter(weight.astype(np.float32), 0.6) * grid.mask
    changed = KINDS[kind](grid.slices, weight, rng)
    slices = np.where(grid.mask, changed, grid.slices).astype(np.float32)
    return replace(grid, slices=np.clip(slices, -3, 4)), weight > 0.5


def ellipsoid(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A rotated superellipsoid with half-axes of 3.5 to 8 grid voxels, centred inside the mask."""
    centre = _inside(mask, rng)
    axes, power = rng.uniform(3.5, 8.0, 3), rng.uniform(1.5, 4.0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    offset = np.stack(np.meshgrid(*(np.arange(n) for n in mask.shape), indexing="ij"), -1) - centre
    return (np.abs(offset @ turn / axes) ** power).sum(-1) < 1


def cloud(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The largest component of thresholded smooth noise near a position inside the mask.

    The threshold rises with the square of the distance from this position.
    """
    centre, sigma = _inside(mask, rng), rng.uniform(2.0, 3.5)
    offset = np.stack(np.meshgrid(*(np.arange(n) for n in mask.shape), indexing="ij"), -1) - centre
    noise = ndimage.gaussian_filter(rng.normal(size=mask.shape), sigma)
    field = noise / noise.std() + 1.5 - ((offset / 6.0) ** 2).sum(-1)
    pieces, n = ndimage.label(field > 0)
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if n else pieces > 0


def _inside(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    places = np.argwhere(ndimage.binary_erosion(mask, iterations=4))
    return places[rng.integers(len(places))]


def blend(slices: np.ndarray, weight: np.ndarray, other: np.ndarray | float) -> np.ndarray:
    """Mix: (1 − w) slices + w other. Where w is 0, the slices stay as they are."""
    return slices * (1 - weight) + other * weight


def level(slices: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace tissue by one level, darker or brighter than tissue, with a little noise."""
    value = rng.choice([-1, 1]) * rng.uniform(1.2, 2.4)
    return blend(slices, weight, value + 0.15 * rng.normal(size=slices.shape))


def offset(slices: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Make tissue darker or brighter by an amount that leaves the anatomy visible."""
    return slices + weight * rng.choice([-1, 1]) * rng.uniform(0.8, 1.8)


def ring(slices: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace tissue by a bright rim around a dark core."""
    depth = ndimage.distance_transform_edt(weight > 0.5)
    return blend(slices, weight, np.where(depth <= rng.uniform(1.5, 2.5), 1.2, -1.6))


def texture(slices: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace tissue by smooth noise of another grain size around the local mean."""
    grain = ndimage.gaussian_filter(rng.normal(size=slices.shape), rng.uniform(0.7, 1.5))
    mean = ndimage.gaussian_filter(slices, 3)
    return blend(slices, weight, mean + rng.uniform(0.7, 1.3) * grain / grain.std())


def washed(slices: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur the anatomy."""
    return blend(slices, weight, ndimage.gaussian_filter(slices, rng.uniform(2.0, 3.0)))


def mirrored(slices: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Replace tissue by tissue of the same head from the mirrored slices, shifted by up to four slices."""
    return blend(slices, weight, np.roll(slices[:, :, ::-1], int(rng.integers(-4, 5)), axis=0))


def swirled(slices: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotate tissue around the middle of the anomaly, most at its centre."""
    places = np.argwhere(weight > 0.5)
    centre = places.mean(0) if len(places) else np.array(slices.shape) / 2
    angle = rng.choice([-1, 1]) * rng.uniform(1.0, 2.0) * ndimage.gaussian_filter(weight, 2)
    z, y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in slices.shape), indexing="ij")
    dy, dx = y - centre[1], x - centre[2]
    turned = [
        z,
        centre[1] + np.cos(angle) * dy - np.sin(angle) * dx,
        centre[2] + np.sin(angle) * dy + np.cos(angle) * dx,
    ]
    return ndimage.map_coordinates(slices, turned, order=1, mode="nearest")


KINDS: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "level": level,
    "offset": offset,
    "ring": ring,
    "texture": texture,
    "washed": washed,
    "mirrored": mirrored,
    "swirled": swirled,
}
