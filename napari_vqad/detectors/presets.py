"""Presets: settings of the pixel score, its threshold and its clean-up under one name, the same everywhere.

`napari-vqad score --preset`, the commands of `evaluate` and the viewer's settings all use `Preset.settings`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, NamedTuple

from napari_vqad.errors import InputError
from napari_vqad.settings import SharedSettings


class Preset(NamedTuple):
    """Settings of the pixel score and its clean-up under one name.

    Attributes:
        description: what the settings do, for help and tooltips.
        values: settings by name.
        min_voxels: smallest finding in voxels of the model's grid; None if it is a volume in `values`.
    """

    description: str
    values: Mapping[str, Any]
    min_voxels: int | None = None

    def settings(self, voxel_ml: float) -> dict[str, Any]:
        """Return the settings by name, for a grid whose voxels have this volume in mL."""
        least = {} if self.min_voxels is None else {"min_volume_ml": round(self.min_voxels * voxel_ml, 6)}
        return {**self.values, **least}


CLEAN_UP = ("pooling", "score", "flag_voxels", "median", "erode_mm", "min_volume_ml")
PRESETS = {
    "Default": Preset(
        "the default settings of pooling, score, threshold and clean-up",
        {name: SharedSettings.model_fields[name].default for name in CLEAN_UP},
    ),
    # The median and the eroded mask are both "baur" pooling.
    "Baur 2018": Preset(
        "the post-processing of Baur et al. 2018: a 5×5×5 median of the residual without the rim of the brain, flagged "
        "above the 98th percentile of the scans that the model was trained on, in pieces of at least 6 voxels",
        {"pooling": "baur", "score": "intensity", "flag_voxels": "t98", "median": False, "erode_mm": 0.0},
        6,
    ),
}


def finding_voxels(pooling: str) -> int | None:
    """Return the smallest finding of the preset with this pooling, in voxels of the grid; None if it sets none."""
    return next((p.min_voxels for p in PRESETS.values() if p.values["pooling"] == pooling), None)


def preset_named(name: str) -> Preset:
    """Return a preset by its name; "baur-2018" is "Baur 2018".

    Raises:
        InputError: there is no such preset.
    """
    by_slug = {slug(title): preset for title, preset in PRESETS.items()}
    if slug(name) not in by_slug:
        raise InputError(f"There is no preset '{name}'; there are {', '.join(by_slug)}.")
    return by_slug[slug(name)]


def title_of(settings: SharedSettings, voxel_ml: float) -> str | None:
    """Return the title of the preset that these settings are; None if they are no preset."""
    for title, preset in PRESETS.items():
        if all(getattr(settings, name) == value for name, value in preset.settings(voxel_ml).items()):
            return title
    return None


def slug(title: str) -> str:
    """The name of a preset on the command line."""
    return title.strip().lower().replace(" ", "-")


def add_option(parser: argparse._ActionsContainer) -> None:
    """Add `--preset` to a command; flags that the user gives take precedence over it."""
    each = "; ".join(f"{slug(title)}: {preset.description}" for title, preset in PRESETS.items())
    parser.add_argument(
        "--preset", choices=list(map(slug, PRESETS)), type=slug, help=f"{each}. Other flags take precedence"
    )


def with_preset(name: str | None, voxel_ml: float, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a preset (None: no settings), replaced by those that are given and not None."""
    chosen = preset_named(name).settings(voxel_ml) if name else {}
    return chosen | {key: value for key, value in given.items() if value is not None}
