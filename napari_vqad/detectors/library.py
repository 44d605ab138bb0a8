"""The bundles that are on this machine: in a folder of the user's choice, beside the code, or fetched before.

Looked for in this order: the folders that the environment variable NAPARI_VQAD_MODELS names, the models that come with
the package (or lie in the checkout), and the folder that `napari-vqad models get` writes into.
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
    """The folders in which bundles are looked for, the first one first."""
    named = [Path(folder).expanduser() for folder in os.environ.get(VARIABLE, "").split(os.pathsep) if folder]
    return [*named, models_folder(), fetched_folder()]


def fetched_folder() -> Path:
    """The folder of bundles that were fetched."""
    return user_data_path("napari-vqad") / "models"


def list_bundles(folder: Path | None = None) -> list[Path]:
    """The folders of bundles under `folder`, or under all `places`; of two with one name the first is listed.

    A folder whose config.json is damaged is among them, so that the user is told why it does not load.
    """
    found: dict[str, Path] = {}
    for place in places() if folder is None else [Path(folder)]:
        for bundle in listed(place):
            if is_regular(bundle / "config.json") and _is_bundle(bundle):
                found.setdefault(bundle.name, bundle)
    return list(found.values())


def find(name: str | Path) -> Path:
    """The folder of a bundle given by path or by name.

    Raises:
        InputError: there is none.
    """
    for folder in (Path(name), *(place / name for place in places())):
        if is_regular(folder / "config.json"):
            return folder
    known = ", ".join(p.name for p in list_bundles()) or "none"
    raise InputError(f"There is no bundle at '{name}'; the bundles at hand are: {known}.")


def _is_bundle(folder: Path) -> bool:
    """Is it a bundle, with all files of its detector? Not the brain mask's network, nor a bundle in training."""
    try:
        given = read_json(folder / "config.json")
    except InputError:
        return True
    if not isinstance(given, dict) or not {"title", "grid"} <= set(given):
        return False
    kind = given.get("detector", DEFAULT)
    files = detector_class(kind).files if isinstance(kind, str) and kind in DETECTORS else ()
    return is_complete(folder, files)
