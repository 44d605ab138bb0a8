"""The settings that all detectors share. Sliders, command-line flags and JSON are made from these definitions.

Each detector defines its own settings in `detectors/*`; `detectors.settings.Settings` combines all of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_vqad.errors import InputError

Pooling = Literal["none", "2d", "3d", "smooth", "baur"]
ADDED_POOLINGS = ("baur",)  # bundles that earlier versions calibrated have no healthy tables of these
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


def no_rate(value: float | str) -> float | str:
    """Refuse "1/n" for a threshold that is not of voxels, because findings are made of voxels."""
    if isinstance(value, str) and "/" in value:
        raise ValueError("findings are of voxels; give a number ≥ 0, or a healthy percentile such as p90")
    return value


Threshold = Annotated[float | str, BeforeValidator(_threshold)]
CodeThreshold = Annotated[float | str, BeforeValidator(code_threshold)]


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
    flag_voxels: Threshold = Field(
        default="1/1",
        title="Flag voxels",
        description="Voxels with a pixel score above this threshold are flagged; connected flagged voxels form a "
        "finding. 1/3 sets the threshold at which 1 false finding is expected per 3 healthy scans.",
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
        "(2d) or across slices (3d) as in the papers, a Gaussian average (smooth), or a 5×5×5 median without the rim "
        "of the brain (baur), always in SD of intensity.",
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


class Preset(NamedTuple):
    """Settings of the pixel score and its clean-up under one name.

    Attributes:
        values: settings by name.
        min_voxels: smallest finding in voxels of the model's grid; None if it is a volume in `values`.
    """

    values: Mapping[str, Any]
    min_voxels: int | None = None

    def settings(self, voxel_ml: float) -> dict[str, Any]:
        """Return the settings by name, for a grid whose voxels have this volume in mL."""
        least = {} if self.min_voxels is None else {"min_volume_ml": round(self.min_voxels * voxel_ml, 6)}
        return {**self.values, **least}


CLEAN_UP = ("pooling", "score", "flag_voxels", "median", "erode_mm", "min_volume_ml")
PRESETS = {
    "Default": Preset({name: SharedSettings.model_fields[name].default for name in CLEAN_UP}),
    # Baur et al. 2018: a 5×5×5 median of the residual, an eroded brain mask (both "baur" pooling), a threshold at the
    # 98th percentile of healthy errors after these two steps, and no component of fewer than 6 voxels. Their healthy
    # errors are those of the training scans; here they are of healthy scans that no network was trained on.
    "Baur 2018": Preset(
        {"pooling": "baur", "score": "intensity", "flag_voxels": "p98", "median": False, "erode_mm": 0.0}, 6
    ),
}


PRESET_HELP = (
    "settings of pooling, score, threshold and clean-up; baur-2018: a 5×5×5 median of the residual without the rim of "
    "the brain, flagged above its healthy 98th percentile, in at least 6 voxels. Other flags take precedence"
)


def preset_named(name: str) -> Preset:
    """Return a preset by its name; "baur-2018" is "Baur 2018".

    Raises:
        InputError: there is no such preset.
    """
    by_slug = {slug(title): preset for title, preset in PRESETS.items()}
    if slug(name) not in by_slug:
        raise InputError(f"There is no preset '{name}'; there are {', '.join(by_slug)}.")
    return by_slug[slug(name)]


def slug(title: str) -> str:
    """The name of a preset on the command line."""
    return title.strip().lower().replace(" ", "-")


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
