"""The settings of detectors that optimise by gradient descent at test time: AnoGAN's latent search."""

from __future__ import annotations

from pydantic import Field

from napari_vqad.detectors.sampling import Distance, Seed, Temperature
from napari_vqad.settings import SharedSettings


class SearchSettings(SharedSettings):
    """Settings of the latent search."""

    searches: int = Field(
        1,
        ge=1,
        le=10,
        title="Searches",
        description="Number of searches for each slice, each from another random latent; more give a steadier score.",
        json_schema_extra={"section": "Restoration"},
    )
    search_steps: int = Field(
        100,
        ge=1,
        le=1000,
        title="Search steps",
        description="Steps of gradient descent that look for the closest slice that the GAN generates; a larger number "
        "continues the searches that are there.",
        json_schema_extra={"section": "Restoration"},
    )
    search_rate: float = Field(
        0.1,
        ge=0.001,
        le=1.0,
        title="Search step size",
        description="Size of a step of the search (Adam's learning rate).",
        json_schema_extra={"section": "Restoration"},
    )
    feature_weight: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        title="λ (features)",
        description="Share of the discriminator's features in the loss of the search; the rest is the residual.",
        json_schema_extra={"section": "Restoration"},
    )
    k: Temperature = 3.0
    distance: Distance = "mean"
    seed: Seed = 0
