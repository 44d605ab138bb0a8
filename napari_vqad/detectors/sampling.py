"""Settings of all detectors that draw S pictures of a slice; `detectors.sample_maps` uses them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from napari_vqad.settings import SharedSettings

Samples = Annotated[
    int,
    Field(
        ge=1,
        le=30,
        title="S",
        description="Number of restorations drawn for each slice; more give a steadier score.",
        json_schema_extra={"section": "Restoration"},
    ),
]
Temperature = Annotated[
    float,
    Field(
        ge=0.0,
        le=10.0,
        title="k",
        description="Softmax temperature of the restorations' weights: 0 gives all the same weight, a larger k favours "
        "those closest to the scan.",
        json_schema_extra={"section": "Restoration"},
    ),
]
Distance = Annotated[
    Literal["mean", "sum"],
    Field(
        title="Distance",
        description="Distance of a restoration from its slice: mean of the residual (authors' code) or sum (papers).",
        json_schema_extra={"section": "Restoration"},
    ),
]
Seed = Annotated[
    int,
    Field(
        ge=0,
        lt=2**32,
        title="Seed",
        description="Random seed of the draws; the same seed gives the same restorations.",
        json_schema_extra={"section": "Restoration"},
    ),
]


class SampleSettings(SharedSettings):
    """How many pictures are drawn for each slice, and how they are weighted."""

    n_restorations: Samples = 15
    k: Temperature = 3.0
    distance: Distance = "mean"
    seed: Seed = 0
