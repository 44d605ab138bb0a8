"""The user's settings in napari's preferences, with which the explorer starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari.settings import get_plugin_settings
from napari.utils.notifications import show_warning
from pydantic import ValidationError

from napari_vqad.detectors.library import list_bundles
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.store import CACHE_BYTES
from napari_vqad.errors import InputError


@dataclass(frozen=True)
class Preferences:
    """The contents of the page Preferences → VQ Anomaly Explorer."""

    bundles: list[Path]
    device: str
    cache_bytes: int
    settings: Settings


def read_preferences() -> Preferences:
    """Read the page of the preferences. Warn about invalid values and use defaults instead."""
    try:
        page = get_plugin_settings("napari-vqad").explorer  # type: ignore[attr-defined]
    except KeyError:  # the package is importable but not installed as a plugin
        return Preferences(list_bundles(), "auto", CACHE_BYTES, Settings())
    try:
        settings = Settings(
            n_restorations=page.n_restorations, lambda_s=page.lambda_s, lambda_p=page.lambda_p, k=page.k
        )
    except ValidationError as error:
        first = error.errors()[0]
        show_warning(f"Preferences: '{first['loc'][0]}' is not valid ({first['msg'].lower()}); defaults are used.")
        settings = Settings()
    try:
        further = list_bundles(Path(page.model_folder).expanduser()) if page.model_folder else []
    except (InputError, RuntimeError) as error:  # RuntimeError: "~name" of an unknown user
        show_warning(f"Preferences: the folder of models is not used: {error}")
        further = []
    return Preferences([*list_bundles(), *further], page.device, max(1, page.cache_mb) * 2**20, settings)
