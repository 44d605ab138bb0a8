"""The settings of detectors that run gradient descent on the scan: AnoGAN's latent search, and gradient restoration."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from napari_vqad.detectors.sampling import Distance, Seed, Temperature
from napari_vqad.settings import SharedSettings

DataTerm = Literal["TV", "L1"]


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
        title="Steps",
        description="Steps of gradient descent that look for the closest slice that the GAN generates; a larger number "
        "continues the searches that are there.",
        json_schema_extra={"section": "Restoration"},
    )
    search_rate: float = Field(
        0.1,
        ge=0.01,
        le=1.0,
        title="Step size",
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


class RestorationSettings(SharedSettings):
    """Settings of the restoration by gradient descent in pixel space."""

    descent_steps: int = Field(
        100,
        ge=1,
        le=1000,
        title="Steps",
        description="Steps of gradient descent that restore a slice; a larger number continues the restorations that "
        "are there.",
        json_schema_extra={"section": "Restoration"},
    )
    descent_rate: float = Field(
        0.05,
        ge=0.01,
        le=0.2,
        title="Step size",
        description="How far a pixel with a gradient of one moves in a step; large steps leave noise in the picture.",
        json_schema_extra={"section": "Restoration"},
    )
    data_weight: float = Field(
        0.5,
        ge=0.0,
        le=10.0,
        title="Data weight",
        description="Weight of the data term, which keeps a restoration close to its slice; a smaller weight restores "
        "more of it.",
        json_schema_extra={"section": "Restoration"},
    )
    data_term: DataTerm = Field(
        "TV",
        title="Data term",
        description="How a restoration is kept close to its slice: by the total variation (TV) of the difference, "
        "which costs little for large uniform lesions, or by the sum of its absolute values (L1).",
        json_schema_extra={"section": "Restoration"},
    )
