"""The layouts of autoencoders: models of their sizes, told apart by `kind`, and the networks that they describe."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Tag

from napari_vqad.nets.autoencoder import Autoencoder, AutoencoderSizes, LatentNetwork
from napari_vqad.nets.strided_autoencoder import StridedAutoencoder, StridedSizes


def _kind(given: Any) -> str:
    """Return the kind; bundles of earlier versions, which had one layout only, do not name it."""
    return str(given.get("kind", "residual") if isinstance(given, dict) else getattr(given, "kind", ""))


Sizes = Annotated[
    Annotated[AutoencoderSizes, Tag("residual")] | Annotated[StridedSizes, Tag("strided")], Discriminator(_kind)
]


def make_autoencoder(sizes: Sizes, shape: tuple[int, int], variational: bool) -> LatentNetwork:
    """Make an untrained network of these sizes for slices of `shape` pixels.

    Raises:
        ValueError: a side of the slices is not a multiple of the stride.
    """
    if isinstance(sizes, StridedSizes):
        return StridedAutoencoder(sizes, shape, variational)
    return Autoencoder(sizes, shape, variational)
