"""All settings in one object: those that every detector shares, and those of each detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from napari_vqad.detectors.histogram import HistogramSettings
from napari_vqad.detectors.vq.settings import VQSettings
from napari_vqad.errors import InputError
from napari_vqad.files.jsonfile import read_json
from napari_vqad.settings import first_error


class Settings(HistogramSettings, VQSettings):
    """What the user chose. A detector reads the fields of its own `Settings` and leaves the others alone.

    So a choice made for one model is still there when the user comes back to it from another.
    """


def read_settings(path: Path) -> dict[str, Any]:
    """Settings by name, of a JSON file; of a result.json those that it was made with.

    Raises:
        InputError: it cannot be read, or a value does not fit; the sentence names the flag.
    """
    found = read_json(path)
    given = found.get("settings", found) if isinstance(found, dict) else None
    if not isinstance(given, dict):
        raise InputError(f"{path} holds no settings.")
    return settings_from(given).model_dump(exclude_unset=True)


def settings_from(given: dict[str, Any]) -> Settings:
    """Settings made of what a user typed.

    Raises:
        InputError: a value does not fit; the sentence names the flag.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        raise first_error(error) from error
