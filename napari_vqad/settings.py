"""Every knob of the explorer, once: the sliders, the command-line flags and the JSON sidecar are made from here."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from napari_vqad.errors import InputError

Method = Literal["sequential", "anchored", "light", "masked", "regenerative"]
Pooling = Literal["none", "2d", "3d", "smooth"]
Scale = Literal["plain", "place", "fused"]
OfLevel = Literal["all", "top", "bottom"]
SliceScore = Literal["pixel", "sample"]


RATE = r"1/[1-9]\d{0,3}"  # one false finding per n healthy scans


def _threshold(value: Any) -> float | str:
    """Accept 5.0 or "5.0" (in the score's own unit), "p90" (a percentile of healthy values) or "1/3" (`RATE`)."""
    text = str(value).strip().lower()
    if re.fullmatch(RATE, text):
        return text
    if re.fullmatch(r"p\d+(\.\d+)?", text) and float(text[1:]) <= 100:
        return text
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise ValueError("a threshold is a number ≥ 0, or a healthy percentile such as p90, or, for voxels, 1/n")
    return number


Threshold = Annotated[float | str, BeforeValidator(_threshold)]


class Settings(BaseModel):
    """What the person chose.

    Thresholds are numbers in the unit of their score, or healthy percentiles ("p90") that the bundle's calibration
    turns into numbers. `Field(title=…)` is the label on screen, `description` the tooltip and the flag's help.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lambda_s: Threshold = Field(
        "p98",
        title="λ_s (sample)",
        description="Codes whose NLL exceeds λ_s add to AS_sample, the papers' score of their slice.",
        json_schema_extra={"unit": "nats"},
    )
    lambda_p: Threshold = Field(
        "p90",
        title="λ_p (pixel)",
        description="Codes whose NLL exceeds λ_p are drawn anew from the prior; lower it to restore more of the slice.",
        json_schema_extra={"unit": "nats"},
    )
    method: Method = Field(
        "anchored",
        title="Method",
        description="How unlikely codes are replaced: one after the other (sequential), those found in the original "
        "(anchored), all at once (light), from both sides (masked, by a prior of that kind), or not at all "
        "(regenerative).",
    )
    n_restorations: int = Field(
        15,
        ge=1,
        le=30,
        title="S",
        description="Number of restorations drawn for each slice; more give a steadier score.",
    )
    k: float = Field(
        3.0,
        ge=0.0,
        le=10.0,
        title="k",
        description="Softmax temperature of the restorations' weights: 0 averages all alike, "
        "more favours those closest to the scan.",
    )
    distance: Literal["mean", "sum"] = Field(
        "mean",
        title="Distance",
        description="How far a restoration is from its slice: mean of the residual (authors' code) or sum (paper).",
    )
    pooling: Pooling = Field(
        "smooth",
        title="Pooling",
        description="How the residual becomes the pixel score: as it is, minimum then average in the slice or across "
        "slices (as in the paper), or a Gaussian average (smooth).",
    )
    score: Scale = Field(
        "fused",
        title="Score",
        description="The pooled residual in SD of intensity (plain), in SDs of what healthy scans have at the same "
        "place (place), or that with NLL and a linear model added (fused). Plain where the model knows no places.",
    )
    flag_voxels: Threshold = Field(
        "1/1",
        title="Flag voxels",
        description="Voxels whose pixel score exceeds this are flagged; connected, they are findings. 1/3: so that one "
        "false finding is to be expected in three healthy scans.",
        json_schema_extra={"unit": "SD"},
    )
    median: bool = Field(
        False,
        title="Median 5³",
        description="Smooth the pixel score by a median before voxels are flagged; thin findings go.",
    )
    erode: float = Field(
        0.0,
        ge=0.0,
        le=12.0,
        title="Erode (mm)",
        description="Leave out findings at the rim of the brain, so deep; what reaches deeper keeps its deeper part.",
        json_schema_extra={"unit": "mm"},
    )
    least_ml: float = Field(
        0.08,
        ge=0.0,
        le=5.0,
        title="Least (mL)",
        description="Findings of less volume are left out.",
        json_schema_extra={"unit": "mL"},
    )
    slice_score: SliceScore = Field(
        "pixel",
        title="Slice score",
        description="What flags and ranks slices: the highest pixel scores and NLL in them (pixel), or the sum of the "
        "NLL of their codes above λ_s, AS_sample of the papers (sample).",
    )
    flag_slices: Threshold = Field(
        "p95",
        title="Flag slices",
        description="Slices whose slice score exceeds this are flagged.",
        json_schema_extra={"unit": "SD or nats"},
    )
    level: OfLevel = Field(
        "all",
        title="NLL of level",
        description="Which codes the NLL map shows, where the model has two levels of them: all (what both say of a "
        "place), the coarse ones (top) or the fine ones (bottom).",
    )
    paper_faithful: bool = Field(
        False,
        title="Paper-faithful",
        description="Keep the reference codes' traps: zero padding dims the border, and weights are undefined where "
        "a restoration equals the scan.",
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**32,
        title="Seed",
        description="Random numbers of the draws; the same seed gives the same picture.",
    )
    axis: Literal["sagittal", "coronal", "axial"] = Field(
        "axial",
        title="Scan axis",
        description="The direction that slices are stacked along; the bundled models know axial slices.",
    )
    slices: tuple[int, int] | None = Field(
        None,
        title="Slice range",
        description="First and last slice to analyse, numbered as the viewer's slider numbers them; all when empty.",
    )

    @field_validator("lambda_s", "lambda_p", "flag_slices")
    @classmethod
    def _no_rate(cls, value: float | str) -> float | str:
        if isinstance(value, str) and "/" in value:
            raise ValueError("findings are of voxels; give a number ≥ 0, or a healthy percentile such as p90")
        return value


def settings_from(given: dict[str, Any]) -> Settings:
    """Settings of what a person typed.

    Raises:
        InputError: a value does not fit; the sentence names the flag.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{flag(str(first['loc'][0]))} does not fit: {first['msg'].removeprefix('Value error, ')}."
        ) from error


def flag(name: str) -> str:
    """A field's name on the command line."""
    return "-k" if name == "k" else "--" + name.replace("_", "-")
