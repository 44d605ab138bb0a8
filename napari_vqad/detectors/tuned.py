"""Thresholds tuned for a bundle on labelled data, in its file tuned.json.

Marimont & Tarroni 2020 and Ishii 2023 tune λ_s and λ_p on a validation part. If a threshold is set to "tuned", the
number in this file is used. The bundle's hash does not include the file, because the file alone changes no map.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from napari_vqad.errors import InputError
from napari_vqad.files.jsonfile import read_json, validated

FILE = "tuned.json"


class TunedThresholds(BaseModel):
    """Tuned thresholds, in their own units.

    Attributes:
        weights: SHA-256 of the networks (`Bundle.weights`).
        on: data and measure of the tuning, such as "the validation part of UCSD Ped2, balanced accuracy of frames".
        slices: setting → value, for the detector's own slice score.
        variants: variant of the detector → setting → value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    on: str = Field(max_length=300)
    slices: dict[str, float] = {}
    variants: dict[str, dict[str, float]] = {}

    def value(self, setting: str, variant: str) -> float | None:
        """Return the tuned value of a setting for a variant, or else for the slice score; None if it was not tuned."""
        return self.variants.get(variant, {}).get(setting, self.slices.get(setting))


def read_tuned(folder: Path, weights: str) -> TunedThresholds | None:
    """Read the tuned thresholds of a bundle; None if it has none.

    Raises:
        InputError: the file is damaged, or was made with other networks.
    """
    path = folder / FILE
    if not path.exists():
        return None
    found = validated(TunedThresholds, read_json(path), path)
    if found.weights != weights:
        raise InputError(f"{path} is of another model; tune the thresholds again, or remove it.")
    return found
