"""The simulated head outside the brain: skull, scalp, eyes, face and neck of simple shapes.

They make finding the brain in the head a realistic task; they are not anatomically accurate.
Positions are MNI mm (R, A, S); intensities are relative to white matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

AIR, BONE, MARROW, MUSCLE, FAT, SKIN, FLUID, CORD = 0.0, 0.05, 0.5, 0.42, 0.95, 0.5, 0.17, 0.95


def fill_head(where: np.ndarray, brain: np.ndarray, spacing: float, noise: Callable[[float], np.ndarray]) -> np.ndarray:
    """Simulate everything but the brain.

    Args:
        where: MNI mm of each voxel, (3, R, A, S).
        brain: bool (R, A, S).
        spacing: voxel size, mm.
        noise: sigma in mm → smooth noise of unit SD, (R, A, S).

    Returns:
        signal (R, A, S), float32.
    """
    _, y, z = where
    out = _distance_outside(brain, spacing)
    uneven = noise(18.0)
    skull = 6.0 + 0.8 * uneven  # mm, thickness
    scalp = 5.0 + 0.5 * noise(25.0) + 2.5 * np.clip((-y - 60) / 40, 0, 1)
    # The head's surface: distance from the brain above, face and neck below, joined smoothly.
    surface = _smooth_min(
        out - (2.5 + skull + scalp),
        _ellipsoid(where, (0, 32, -78), (60, 56, 72)) * 56,
        _ellipsoid(where, (0, 84, -50), (15, 28, 24)) * 16,
        np.maximum(_ellipsoid(where, (0, -28, -90), (60, 62, 1e6)) * 60, z + 45),
    )
    signal = np.full(brain.shape, AIR, np.float32)
    grain = noise(2.5)
    below = surface < 0

    # Muscle with fat between its fibres fills face and neck; skin and fat cover everything.
    flesh = MUSCLE + 0.05 * grain + (FAT - MUSCLE) * _step(noise(3.5) - 1.0, 0.25)
    signal[below] = flesh[below]
    signal = np.where(below & (surface > -5.5), FAT * (0.9 + 0.12 * grain), signal)
    signal = np.where(below & (surface > -1.2), SKIN, signal)
    signal = _neck(signal, where, below, grain)
    signal = _face(signal, where, below, grain)

    # From the brain outwards: CSF, inner table, marrow, outer table.
    vault = out < 2.5 + skull
    through = (out - 2.5) / skull
    marrow = MARROW * (0.8 + 0.3 * grain) * np.clip((skull - 5.0) / 2.0, 0, 1)
    base = _step((-25 - z) / 10, 1.0)  # the base of the skull is thick, uneven bone
    marrow = marrow * (1 - base) + base * np.clip(0.25 + 0.25 * noise(5.0), 0.03, 0.8)
    bone = np.where(np.abs(through - 0.5) < 0.24, np.maximum(marrow, BONE), BONE)
    open_below = z < -66  # the foramen magnum: no bone below the brainstem
    signal = np.where(vault & ~open_below, bone, signal)
    return np.where((out < 2.5 + 0.7 * uneven) & ~open_below, FLUID, signal).astype(np.float32)


def _neck(signal: np.ndarray, where: np.ndarray, below: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """Add spinal canal and cord, vertebrae and discs, airway and vessels."""
    x, y, z = where
    down = z < -60
    middle = -44 + 0.10 * (z + 72)  # A coordinate of the cord, mm: 1 mm further back for each 10 mm down
    from_cord = np.hypot(x, y - middle)
    spine = np.hypot(x / 13, (y - middle - 20) / 10)
    disc = np.abs((z + 4) % 17 - 8.5) > 6.5
    signal = np.where(down & (spine < 1.15), BONE, signal)
    signal = np.where(down & (spine < 1.0), np.where(disc, 0.3, MARROW + 0.04 * grain), signal)
    arch = np.hypot(x / 20, (y - middle + 4) / 15)
    signal = np.where(down & (arch < 1) & (from_cord > 10), 0.25 + 0.1 * grain, signal)
    signal = np.where(down & (from_cord < 9.5), FLUID, signal)
    signal = np.where(down & (from_cord < 5.5), CORD, signal)
    airway = np.hypot(x / 9, (y - middle - 42) / 6)
    signal = np.where((z < -62) & (airway < 1) & below, AIR, signal)
    for side in (-1, 1):
        vessel = np.hypot(x - side * 27, y - middle - 26)
        signal = np.where(down & (vessel < 4), 1.2, signal)
    return signal


def _face(signal: np.ndarray, where: np.ndarray, below: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """Add tongue, nasal cavity, sinuses, petrous bones, orbits and eyes."""
    deep = below
    shapes: list[tuple[tuple[float, ...], tuple[float, ...], Any]] = [
        ((0, 44, -104), (23, 30, 20), MUSCLE + 0.1 + 0.03 * grain),  # tongue
        ((0, 62, -50), (13, 26, 22), np.where(grain > 0.4, 0.5, 0.03)),  # nasal cavity and its conchae
        ((27, 52, -62), (11, 14, 14), AIR + 0.02),
        ((-27, 52, -62), (11, 14, 14), AIR + 0.02),
        ((0, 24, -40), (12, 12, 9), AIR + 0.02),  # sphenoid sinus
        ((46, -22, -44), (16, 20, 13), np.clip(0.08 + 0.12 * grain, 0.02, 1)),  # petrous bone
        ((-46, -22, -44), (16, 20, 13), np.clip(0.08 + 0.12 * grain, 0.02, 1)),
        ((33, 52, -36), (18, 22, 17), FAT + 0.05 * grain),  # orbits
        ((-33, 52, -36), (18, 22, 17), FAT + 0.05 * grain),
        ((33, 62, -36), (12.5, 12.5, 12.5), 0.4),
        ((-33, 62, -36), (12.5, 12.5, 12.5), 0.4),
        ((33, 62, -36), (11, 11, 11), FLUID),
        ((-33, 62, -36), (11, 11, 11), FLUID),
    ]
    for centre, axes, level in shapes:
        signal = np.where(deep & (_ellipsoid(where, centre, axes) < 0), level, signal)
    return signal


def _distance_outside(brain: np.ndarray, spacing: float) -> np.ndarray:
    """Distance in mm from the brain after closing its fissures; smooth, negative inside."""
    room = ndimage.distance_transform_edt(~brain) * spacing
    closed = ndimage.distance_transform_edt(room < 9) * spacing > 8
    signed = (ndimage.distance_transform_edt(~closed) - ndimage.distance_transform_edt(closed)) * spacing
    return np.minimum(ndimage.gaussian_filter(signed, 2.5), room).astype(np.float32)


def _ellipsoid(where: np.ndarray, centre: tuple[float, ...], axes: tuple[float, ...]) -> np.ndarray:
    """An implicit ellipsoid: below 0 inside, −1 at the centre."""
    return np.sqrt(sum(((w - c) / a) ** 2 for w, c, a in zip(where, centre, axes, strict=True))) - 1


def _smooth_min(*distances: np.ndarray, width: float = 6.0) -> np.ndarray:
    """A smooth minimum of distances, mm; `width` sets the smoothness."""
    return -width * np.log(sum(np.exp(-np.clip(d, -60, 60) / width) for d in distances))


def _step(values: np.ndarray, width: float) -> np.ndarray:
    """A smooth step from 0 below zero to 1 above; `width` is the scale of the transition."""
    return 1 / (1 + np.exp(-np.clip(values / width, -30, 30)))
