"""Fetch a bundle of the registry from a folder or web address that the user gives; the hash of each file is checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from napari_vqad.detectors.known_models import KnownFile, known_models
from napari_vqad.detectors.library import fetched_folder
from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder
from napari_vqad.files.regular import is_regular, reason
from napari_vqad.files.shared import SHARED


def fetch(name: str, source: str, into: Path | None = None, report: Callable[[str], None] = lambda _line: None) -> Path:
    """Copy or download a bundle.

    Args:
        name: name of the bundle in the registry.
        source: a folder or an address (http, https) with the layout of models/ in a checkout: NAME/FILE, and
            shared/SHA256.safetensors.
        into: the folder in which the folder NAME is made; default `library.fetched_folder`.
        report: called with a line of text for each file.

    Returns:
        The folder of the bundle.

    Raises:
        InputError: the registry does not list the bundle, a file is missing or has another hash, or the folder cannot
            be written to. No files are left behind.
    """
    known = known_models()
    if name not in known:
        raise InputError(f"The package knows no model '{name}'; it knows {', '.join(known)}.")
    target = (into or fetched_folder()) / name
    with atomic_folder(target) as work:
        for file, wanted in known[name].files.items():
            report(f"{file} ({wanted.size / 1e6:.1f} MB)")
            _get(source, name, file, wanted, work)
    return target


def _get(source: str, model: str, file: str, wanted: KnownFile, work: Path) -> None:
    """Fetch a file into the folder `work`, from the bundle's folder at the source or from the source's shared files."""
    remote = source.startswith(("http://", "https://"))
    places = [f"{model}/{file}", *([f"{SHARED}/{wanted.sha256}.safetensors"] if file.endswith(".safetensors") else [])]
    take = _download if remote else _copy
    why = [take(source, place, work / file, wanted) for place in places]
    if None not in why:
        raise InputError(f"{model}/{file} cannot be had from {source}: {why[0]}.")


def _copy(source: str, place: str, target: Path, wanted: KnownFile) -> str | None:
    """Copy a file; return the reason if this fails, else None."""
    if target.exists():
        return None
    path = Path(source).expanduser() / place
    if not is_regular(path):
        return "there is no such file"
    shutil.copyfile(path, target)
    return _checked(target, wanted)


def _download(source: str, place: str, target: Path, wanted: KnownFile) -> str | None:
    """Download a file; return the reason if this fails, else None."""
    if target.exists():
        return None
    import pooch
    import requests

    url = f"{source.rstrip('/')}/{quote(place)}"
    pooch.get_logger().setLevel("ERROR")
    try:
        pooch.HTTPDownloader(timeout=60)(url, str(target), None)
    except (requests.RequestException, OSError) as error:
        target.unlink(missing_ok=True)
        response = getattr(error, "response", None)
        if response is not None:
            return f"{url} answers {response.status_code}"
        return f"{url} cannot be reached" if isinstance(error, requests.RequestException) else reason(error)
    return _checked(target, wanted)


def _checked(target: Path, wanted: KnownFile) -> str | None:
    import pooch

    if pooch.file_hash(str(target)) == wanted.sha256:
        return None
    target.unlink()
    return "it is not the file that this version of the package knows"
