"""Anomalies in a disc of a slice or a ball: one intensity, sink, source, shuffle (Meissen et al. 2022, section 3).

For a pixel J of the disc, with h_c its centre, h_s its radius and s = (‖J − h_c‖ / h_s)^p:

    sink      new[J] = old[J + (1 − s)(J − h_c)]
    source    new[J] = old[h_c + s (J − h_c)]
    shuffle   the pixels of the disc in a random order

The paper prints p = 1; the authors' code has p = 2. The place that a pixel is taken from is rounded to whole pixels and
clipped to the slice, as in the authors' code, and pixels of the background stay as they are.

The paper has discs in two dimensions. A `Disc` with a centre of three coordinates is a ball of voxels, with the same
equations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXPONENT = 2.0  # p, as in the authors' code


@dataclass(frozen=True)
class Disc:
    """A disc, or a ball of voxels.

    Attributes:
        centre: (row, column) in pixels, or one index for each axis of a volume.
        radius: in the unit of `spacing`; in pixels if that is 1.
        spacing: size of a pixel, one number, or one for each axis.
    """

    centre: tuple[float, ...]
    radius: float
    spacing: float | tuple[float, ...] = 1.0

    def pixels(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the pixels of the disc within a mask (H, W), or the voxels of the ball within one (R, A, S)."""
        inside = np.zeros(mask.shape, bool)
        places = np.argwhere(mask)
        inside[tuple(places[self._apart(places) <= self.radius].T)] = True
        return inside

    def relative_distance(self, places: NDArray, exponent: float) -> NDArray:
        """Return s of places (n, 2) or (n, 3), as a column (n, 1)."""
        return (self._apart(places)[:, None] / self.radius) ** exponent

    def _apart(self, places: NDArray) -> NDArray:
        """Distance of places from the centre, (n,), in the unit of `spacing`."""
        return np.linalg.norm((places - np.array(self.centre)) * np.array(self.spacing), axis=1)


def random_disc(mask: NDArray[np.bool_], radius: float, rng: np.random.Generator) -> Disc:
    """Place a disc of a radius in pixels; every pixel of the mask (H, W) is the centre with the same probability."""
    places = np.argwhere(mask)
    row, column = places[rng.integers(len(places))]
    return Disc((float(row), float(column)), radius)


def constant(image: NDArray, inside: NDArray[np.bool_], intensity: float) -> NDArray:
    """Return the image (H, W) with one intensity in the pixels `inside`."""
    return np.where(inside, np.asarray(intensity, image.dtype), image)


def sink(image: NDArray, disc: Disc, inside: NDArray[np.bool_], exponent: float = EXPONENT) -> NDArray:
    """Take each pixel from a place farther from the centre; the tissue seems to be drawn towards it."""
    places = np.argwhere(inside)
    s = disc.relative_distance(places, exponent)
    return _taken_from(image, places, places + (1 - s) * (places - np.array(disc.centre)))


def source(image: NDArray, disc: Disc, inside: NDArray[np.bool_], exponent: float = EXPONENT) -> NDArray:
    """Take each pixel from a place nearer to the centre; the tissue seems to be pushed away from it."""
    places, centre = np.argwhere(inside), np.array(disc.centre)
    s = disc.relative_distance(places, exponent)
    return _taken_from(image, places, centre + s * (places - centre))


def shuffle(image: NDArray, inside: NDArray[np.bool_], rng: np.random.Generator) -> NDArray:
    """Put the pixels `inside` into a random order."""
    changed = image.copy()
    changed[inside] = rng.permutation(image[inside])
    return changed


def _taken_from(image: NDArray, places: NDArray, sources: NDArray) -> NDArray:
    last = np.array(image.shape) - 1
    changed, at = image.copy(), np.clip(np.rint(sources), 0, last).astype(int)
    changed[tuple(places.T)] = image[tuple(at.T)]
    return changed


Texture = Callable[[NDArray, Disc, NDArray[np.bool_], float, np.random.Generator], NDArray]

TEXTURES: dict[str, Texture] = {
    "sink": lambda image, disc, inside, exponent, _: sink(image, disc, inside, exponent),
    "source": lambda image, disc, inside, exponent, _: source(image, disc, inside, exponent),
    "shuffle": lambda image, _, inside, __, rng: shuffle(image, inside, rng),
}
