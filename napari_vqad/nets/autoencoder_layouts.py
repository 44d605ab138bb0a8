"""Which layouts an autoencoder may have: sizes told apart by their `kind`, and the networks that they describe."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from napari_vqad.nets.autoencoder import Autoencoder, AutoencoderSizes, LatentNetwork
from napari_vqad.nets.strided_autoencoder import StridedAutoencoder, StridedSizes


def _kind(given: Any) -> str:
    """Bundles from before there was a choice do not name the kind."""
    return str(given.get("kind", "residual") if isinstance(given, dict) else getattr(given, "kind", ""))


Sizes = Annotated[
    Annotated[AutoencoderSizes, Tag("residual")] | Annotated[StridedSizes, Tag("strided")], Discriminator(_kind)
]


def make_autoencoder(sizes: Sizes, shape: tuple[int, int], variational: bool) -> LatentNetwork:
    """The network of these sizes for slices of `shape` pixels, its weights at their start.

    Raises:
        ValueError: the slices are no whole number of places.
    """
    if isinstance(sizes, StridedSizes):
        return StridedAutoencoder(sizes, shape, variational)
    return Autoencoder(sizes, shape, variational)
