"""The families of detectors, under which lists, tables and figures show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from napari_vqad.detectors.protocol import Family

T = TypeVar("T")

# In the order of lists.
FAMILIES: Mapping[Family, str] = {
    "vector-quantised": "Vector-quantised",
    "autoencoder": "Autoencoders",
    "gan": "GANs",
    "density": "Density",
    "classical": "Classical",
}
# Readable by the colour-blind (Okabe & Ito 2008).
COLOURS: Mapping[Family, str] = {
    "vector-quantised": "#d55e00",
    "autoencoder": "#0072b2",
    "gan": "#009e73",
    "density": "#cc79a7",
    "classical": "#666666",
}


def by_family(items: Sequence[T], family: Callable[[T], Family]) -> list[T]:
    """Sort items by their families; items of the same family keep their order."""
    order = list(FAMILIES)
    return sorted(items, key=lambda item: order.index(family(item)))
