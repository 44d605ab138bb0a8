"""`config.json` of a bundle with the q-space detector."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from napari_vqad.detectors.base import BundleConfig
from napari_vqad.detectors.qspace.settings import NoveltyName
from napari_vqad.nets.voxel_vae import VoxelVAESizes

Finite = Annotated[float, Field(allow_inf_nan=False)]


class QSpaceConfig(BundleConfig):
    """`config.json` of a bundle with this detector.

    Attributes:
        network: sizes of the VAE.
        channel_means: mean of each measurement over the normal voxels, after each scan was divided by its own mean;
            the VAE sees measurements divided by these.
        reference: what the bundle holds of its normal voxels: their measurements, or their codes q(z|y) alone.
        scores: score → median and 84th percentile over normal voxels that no network was trained on, in the unit of
            the score; the first score is the default.
    """

    detector: Literal["qspace"] = "qspace"
    network: VoxelVAESizes
    channel_means: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]
    reference: Literal["voxels", "codes"] = "codes"
    scores: dict[NoveltyName, tuple[Finite, Finite]] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.grid.measurements is None:
            raise ValueError("a q-space model says which measurements it knows")
        if not self.network.measurements == len(self.channel_means) == len(self.grid.measurements):
            raise ValueError("network, channel means and gradients have as many measurements")
        if any(high <= middle for middle, high in self.scores.values()):
            raise ValueError("the 84th percentile of a score lies above its median")
        return self
