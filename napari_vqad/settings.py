"""The settings that all detectors share. Sliders, command-line flags and JSON are made from these definitions.

Each detector defines its own settings in `detectors/*`; `detectors.settings.Settings` combines all of them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_vqad.errors import InputError

Pooling = Literal["none", "2d", "2d-each", "3d", "smooth", "baur"]
ADDED_POOLINGS = ("baur", "2d-each")  # bundles that earlier versions calibrated have no healthy tables of these
OF_TRAINING = ("baur",)  # poolings whose threshold is a percentile of training scans
OF_SAMPLES = ("2d-each",)  # poolings of detectors that draw several restorations of a slice
Scale = Literal["intensity", "normative", "fused"]
SliceScore = Literal["pixel", "sample"]

# Names and values of earlier versions, still accepted in saved studies, result.json, command lines and scripts.
OLD_NAMES = {"least_ml": "min_volume_ml", "erode": "erode_mm"}
OLD_VALUES = {"score": {"plain": "intensity", "place": "normative"}}
RATE = r"1/[1-9]\d{0,3}"  # one false finding per n healthy scans


TUNED = "tuned"  # a threshold that the bundle holds, tuned on labelled data (`detectors.tuned`)


def _threshold(value: Any) -> float | str:
    """Accept 5.0 or "5.0" (in the unit of the score), "p90" (a percentile of healthy values) or "1/3" (`RATE`)."""
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


def code_threshold(value: Any) -> float | str:
    """Accept what `_threshold` accepts, and "tuned"."""
    return TUNED if str(value).strip().lower() == TUNED else _threshold(value)


def _voxel_threshold(value: Any) -> float | str:
    """Accept what `_threshold` accepts, and "t98", a percentile of the training scans' values."""
    text = str(value).strip().lower()
    return text if is_of_training(text) else _threshold(value)


def is_of_training(threshold: Any) -> bool:
    """Check whether a threshold is a percentile of the training scans' values, such as "t98"."""
    text = str(threshold)
    return re.fullmatch(r"t\d+(\.\d+)?", text) is not None and float(text[1:]) <= 100


def no_rate(value: float | str) -> float | str:
    """Refuse "1/n" for a threshold that is not of voxels, because findings are made of voxels."""
    if isinstance(value, str) and "/" in value:
        raise ValueError("findings are of voxels; give a number ≥ 0, or a healthy percentile such as p90")
    return value


Threshold = Annotated[float | str, BeforeValidator(_threshold)]
CodeThreshold = Annotated[float | str, BeforeValidator(code_threshold)]
VoxelThreshold = Annotated[float | str, BeforeValidator(_voxel_threshold)]


class SharedSettings(BaseModel):
    """The user's settings that all detectors share.

    Thresholds are numbers in the unit of their score, or healthy percentiles ("p90") that the bundle's calibration
    converts to numbers. `Field(title=…)` is the label in the dock, `description` the tooltip and the flag's help, and
    `section` the section of the settings panel.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flag_slices: Threshold = Field(
        default="p95",
        title="Flag slices",
        description="Slices with a slice score above this threshold are flagged.",
        json_schema_extra={"section": "Thresholds", "unit": "SD or nats"},
    )
    flag_voxels: VoxelThreshold = Field(
        default="1/1",
        title="Flag voxels",
        description="Voxels with a pixel score above this threshold are flagged; connected flagged voxels form a "
        "finding. 1/3 sets the threshold at which 1 false finding is expected per 3 healthy scans; t98 is the 98th "
        "percentile of the scans that the model was trained on (pooling baur only).",
        json_schema_extra={"section": "Thresholds", "unit": "SD"},
    )
    min_volume_ml: float = Field(
        default=0.08,
        ge=0.0,
        le=5.0,
        title="Min. volume (mL)",
        description="Findings with a smaller volume are ignored.",
        json_schema_extra={"section": "Findings", "unit": "mL"},
    )
    median: bool = Field(
        default=False,
        title="Median 5³",
        description="Apply a median filter to the pixel score before voxels are flagged. It removes thin findings.",
        json_schema_extra={"section": "Findings"},
    )
    erode_mm: float = Field(
        default=0.0,
        ge=0.0,
        le=12.0,
        title="Erode (mm)",
        description="Ignore voxels closer than this to the edge of the brain mask. A finding that extends deeper keeps "
        "its inner part.",
        json_schema_extra={"section": "Findings", "unit": "mm"},
    )
    slice_score: SliceScore = Field(
        default="pixel",
        title="Slice score",
        description="The number that flags and ranks slices: the highest pixel scores and NLL in the slice (pixel), or "
        "the detector's own score (sample), such as AS_sample of the papers, the sum of the NLL above λ_s.",
        json_schema_extra={"section": "More"},
    )
    score: Scale = Field(
        default="fused",
        title="Score",
        description="The unit of the pixel score: SD of intensity (intensity), SD of healthy scores at the same place "
        "(normative), or the latter with NLL and a linear model added (fused). Models without normative maps always "
        "use intensity.",
        json_schema_extra={"section": "More"},
    )
    pooling: Pooling = Field(
        default="smooth",
        title="Pooling",
        description="How the residual becomes the pixel score: unchanged (none), minimum then average within the slice "
        "(2d) or across slices (3d) as in the papers, the same within the slice with the minimum of each restoration's "
        "residual before they are summed (2d-each), a Gaussian average (smooth), or a 5×5×5 median without the rim of "
        "the brain (baur). 2d-each and baur are always in SD of intensity.",
        json_schema_extra={"section": "More"},
    )
    paper_faithful: bool = Field(
        default=False,
        title="Paper-faithful",
        description="Reproduce two flaws of the authors' code: zero padding dims the border, and weights are undefined "
        "where a restoration equals the scan.",
        json_schema_extra={"section": "More"},
    )
    axis: Literal["sagittal", "coronal", "axial"] = Field(
        default="axial",
        title="Scan axis",
        description="The direction in which slices are stacked; the bundled models are trained on axial slices.",
        json_schema_extra={"section": "More"},
    )
    slices: tuple[int, int] | None = Field(
        default=None,
        title="Slice range",
        description="First and last slice to analyse, numbered as on the viewer's slider; all slices when empty.",
        json_schema_extra={"section": "More"},
    )

    @field_validator("flag_slices")
    @classmethod
    def _no_rate(cls, value: float | str) -> float | str:
        return no_rate(value)

    @model_validator(mode="before")
    @classmethod
    def _read_old_words(cls, given: Any) -> Any:
        """Accept the names and values of earlier versions."""
        if not isinstance(given, dict):
            return given
        read = {OLD_NAMES.get(name, name): value for name, value in given.items()}
        for name, words in OLD_VALUES.items():
            if isinstance(read.get(name), str):
                read[name] = words.get(read[name], read[name])
        return read


def section_of(name: str, fields: Any) -> str:
    """The section of the settings panel that shows a field."""
    return str((fields[name].json_schema_extra or {}).get("section", "More"))


def first_error(error: ValidationError) -> InputError:
    """Convert a validation error to an `InputError` whose sentence gives the first error and names the flag."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    return InputError(f"{flag(name)} does not fit: {first['msg'].removeprefix('Value error, ')}.")


def flag(name: str) -> str:
    """The command-line flag of a field."""
    return "-k" if name == "k" else "--" + name.replace("_", "-")
