"""Anomalies in a disc of a slice: a constant intensity, sink, source and shuffle (Meissen et al. 2022, section 3).

For a pixel J of the disc, with h_c its centre, h_s its radius and s = (‖J − h_c‖ / h_s)^p:

    sink      new[J] = old[J + (1 − s)(J − h_c)]
    source    new[J] = old[h_c + s (J − h_c)]
    shuffle   the pixels of the disc in a random order

The paper prints p = 1; the authors' code has p = 2. The place that a pixel is taken from is rounded to whole pixels and
clipped to the slice, as in the authors' code, and pixels of the background stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EXPONENT = 2.0  # p, as in the authors' code


@dataclass(frozen=True)
class Disc:
    """A disc: its centre (row, column) and its radius, in pixels."""

    centre: tuple[float, float]
    radius: float

    def pixels(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the pixels of the disc within a mask (H, W)."""
        rows, columns = np.indices(mask.shape)
        apart = np.hypot(rows - self.centre[0], columns - self.centre[1])
        return (apart <= self.radius) & mask

    def relative_distance(self, places: NDArray, exponent: float) -> NDArray:
        """Return s of places (n, 2), as a column (n, 1)."""
        apart = np.linalg.norm(places - np.array(self.centre), axis=1, keepdims=True)
        return (apart / self.radius) ** exponent


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
