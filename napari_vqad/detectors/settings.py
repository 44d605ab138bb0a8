"""All settings in one object: those that every detector shares, and those of each detector."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from napari_vqad.detectors.histogram import HistogramSettings
from napari_vqad.detectors.vq.settings import VQSettings
from napari_vqad.settings import first_error


class Settings(HistogramSettings, VQSettings):
    """What the user chose. A detector reads the fields of its own `Settings` and leaves the others alone.

    So a choice made for one model is still there when the user comes back to it from another.
    """


def settings_from(given: dict[str, Any]) -> Settings:
    """Settings made of what a user typed.

    Raises:
        InputError: a value does not fit; the sentence names the flag.
    """
    try:
        return Settings(**given)
    except ValidationError as error:
        raise first_error(error) from error
