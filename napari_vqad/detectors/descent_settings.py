"""The settings of detectors that run gradient descent on the scan: AnoGAN's latent search, and gradient restoration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from napari_vqad.detectors.sampling import Distance, Seed, Temperature
from napari_vqad.settings import SharedSettings

DataTerm = Literal["TV", "L1"]
SECTION = Field(json_schema_extra={"section": "Restoration"})

# What both descents have; each adds its default, its bounds and its description.
Steps = Annotated[int, SECTION, Field(ge=1, le=1000, title="Steps")]
StepSize = Annotated[float, SECTION, Field(ge=0.01, title="Step size")]
Weight = Annotated[float, SECTION, Field(ge=0.0)]


class SearchSettings(SharedSettings):
    """Settings of the latent search."""

    searches: Annotated[int, SECTION] = Field(
        default=1,
        ge=1,
        le=10,
        title="Searches",
        description="Number of searches for each slice, each from another random latent; more give a steadier score.",
    )
    search_steps: Steps = Field(
        default=100,
        description="Steps of gradient descent that look for the closest slice that the GAN generates; a larger number "
        "continues the existing searches.",
    )
    search_rate: StepSize = Field(
        default=0.1,
        le=1.0,
        description="Size of a step of the search (Adam's learning rate).",
    )
    feature_weight: Weight = Field(
        default=0.1,
        le=1.0,
        title="λ (features)",
        description="Share of the discriminator's features in the loss of the search; the rest is the residual.",
    )
    k: Temperature = 3.0
    distance: Distance = "mean"
    seed: Seed = 0


class RestorationSettings(SharedSettings):
    """Settings of the restoration by gradient descent in pixel space."""

    descent_steps: Steps = Field(
        default=100,
        description="Steps of gradient descent that restore a slice; a larger number continues the existing "
        "restorations.",
    )
    descent_rate: StepSize = Field(
        default=0.05,
        le=0.2,
        description="How far a pixel with a gradient of one moves in a step; large steps leave noise in the picture.",
    )
    data_weight: Weight = Field(
        default=0.5,
        le=10.0,
        title="Data weight",
        description="Weight of the data term, which keeps a restoration close to its slice; a smaller weight restores "
        "more of it.",
    )
    data_term: Annotated[DataTerm, SECTION] = Field(
        default="TV",
        title="Data term",
        description="How a restoration is kept close to its slice: by the total variation (TV) of the difference, "
        "which costs little for large uniform lesions, or by the sum of its absolute values (L1).",
    )
