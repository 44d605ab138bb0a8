"""The bundles on this computer.

Folders are searched in this order: those in the environment variable NAPARI_VQAD_MODELS, the models of the package (or
of the checkout), and the folder into which `napari-vqad models get` writes.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

from napari_vqad.detectors.registry import DEFAULT, DETECTORS, detector_class
from napari_vqad.errors import InputError
from napari_vqad.files.jsonfile import read_json
from napari_vqad.files.regular import is_regular
from napari_vqad.files.search import listed
from napari_vqad.files.shared import is_complete
from napari_vqad.resources import models_folder

VARIABLE = "NAPARI_VQAD_MODELS"  # folders of bundles, separated as in PATH


def places() -> list[Path]:
    """Return the folders to search for bundles, in order."""
    named = [Path(folder).expanduser() for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    return [*named, models_folder(), fetched_folder()]


def fetched_folder() -> Path:
    """Return the folder of fetched bundles."""
    return user_data_path("napari-vqad") / "models"


def list_bundles(folder: Path | None = None) -> list[Path]:
    """List the folders of bundles in `folder`, or in all `places`; if two have the same name, the first is listed.

    Folders with a damaged config.json are included; loading them tells the user what is wrong.
    """
    found: dict[str, Path] = {}
    for place in places() if folder is None else [Path(folder)]:
        for bundle in listed(place):
            if is_regular(bundle / "config.json") and _is_bundle(bundle):
                found.setdefault(bundle.name, bundle)
    return list(found.values())


def find(name: str | Path) -> Path:
    """Return the folder of a bundle, which is given by path or by name.

    Raises:
        InputError: there is no such bundle.
    """
    for folder in (Path(name), *(place / name for place in places())):
        if is_regular(folder / "config.json"):
            return folder
    known = ", ".join(p.name for p in list_bundles()) or "none"
    raise InputError(f"There is no bundle at '{name}'; the bundles at hand are: {known}.")


def _is_bundle(folder: Path) -> bool:
    """Check for all files of the detector; the brain mask's network and bundles in training are no bundles."""
    try:
        given = read_json(folder / "config.json")
    except InputError:
        return True
    if not isinstance(given, dict) or not {"title", "grid"} <= set(given):
        return False
    kind = given.get("detector", DEFAULT)
    files = detector_class(kind).files if isinstance(kind, str) and kind in DETECTORS else ()
    return is_complete(folder, files)
