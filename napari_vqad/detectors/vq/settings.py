"""The settings of the vector-quantised detector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from napari_vqad.detectors.sampling import Distance, Samples, Seed, Temperature
from napari_vqad.settings import CodeThreshold, SharedSettings, no_rate

Method = Literal["sequential", "anchored", "light", "masked", "regenerative"]
OfLevel = Literal["all", "top", "bottom"]


class VQSettings(SharedSettings):
    """Thresholds of the NLL, the restoration method, and the weighting of restorations."""

    lambda_s: CodeThreshold = Field(
        default="p98",
        title="λ_s (sample)",
        description="Codes with an NLL above λ_s add to AS_sample, the papers' score of a slice. A percentile is of "
        "healthy codes that touch the brain; the papers take percentiles of all codes of their validation data.",
        json_schema_extra={"section": "Thresholds", "unit": "nats"},
    )
    lambda_p: CodeThreshold = Field(
        default="p90",
        title="λ_p (pixel)",
        description="Codes with an NLL above λ_p are resampled from the prior; a lower value restores more of the "
        "slice. Percentiles as for λ_s.",
        json_schema_extra={"section": "Thresholds", "unit": "nats"},
    )
    method: Method = Field(
        default="anchored",
        title="Method",
        description="How codes above λ_p are resampled. sequential: in raster order, judging each code given those "
        "already resampled. anchored: the codes above λ_p in the original scan, in raster order. light: the same "
        "codes, in one parallel pass. masked: one pass given all other codes (masked priors only). regenerative: none; "
        "encode and decode only.",
        json_schema_extra={"section": "Restoration"},
    )
    n_restorations: Samples = 15
    k: Temperature = 3.0
    distance: Distance = "mean"
    seed: Seed = 0
    level: OfLevel = Field(
        default="all",
        title="NLL of level",
        description="Which codes the NLL map shows, where the model has two levels of codes: both together (all), the "
        "coarse ones (top) or the fine ones (bottom).",
        json_schema_extra={"section": "More"},
    )

    @field_validator("lambda_s", "lambda_p")
    @classmethod
    def _no_rate_of_codes(cls, value: float | str) -> float | str:
        return no_rate(value)
