"""All settings in one object: the shared settings, and those of each detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from napari_vqad.detectors.descent_settings import RestorationSettings, SearchSettings
from napari_vqad.detectors.histogram import HistogramSettings
from napari_vqad.detectors.qspace.settings import QSpaceSettings
from napari_vqad.detectors.sampling import SampleSettings
from napari_vqad.detectors.vq.settings import VQSettings
from napari_vqad.errors import InputError
from napari_vqad.files.jsonfile import read_json
from napari_vqad.settings import first_error


class Settings(QSpaceSettings, HistogramSettings, RestorationSettings, SearchSettings, SampleSettings, VQSettings):
    """The user's settings of all detectors. A detector reads only the fields of its own `Settings`.

    The settings of one model are therefore kept while the user works with another.
    """


def read_settings(path: Path) -> dict[str, Any]:
    """Read settings from a JSON file, by name; a result.json contains the settings of its run.

    Raises:
        InputError: the file cannot be read, or a value is not allowed; the message names the flag.
    """
    found = read_json(path)
    given = found.get("settings", found) if isinstance(found, dict) else None
    if not isinstance(given, dict):
        raise InputError(f"{path} holds no settings.")
    return settings_from(given).model_dump(exclude_unset=True)


def settings_from(given: dict[str, Any]) -> Settings:
    """Make settings from values that the user gave.

    Raises:
        InputError: a value is not allowed; the message names the flag.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        raise first_error(error) from error
