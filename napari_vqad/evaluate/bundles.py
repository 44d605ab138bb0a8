"""The bundles that a comparison evaluates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.library import find, list_bundles
from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Kind


def load_bundles(folder: Path | None, names: Sequence[str], device: str) -> list[Bundle]:
    """Load the named bundles, or all bundles of heads in a folder (None: the installed ones).

    All are loaded before the work, so that a damaged one does not stop a command after an hour.

    Raises:
        InputError: there is no such bundle, or one cannot be loaded.
    """
    found = [named(name, folder) for name in names] or known(folder, "head")
    if not found:
        raise InputError(f"{folder} holds no bundles.")
    return [Bundle.load(path, device) for path in found]


def known(folder: Path | None, kind: Kind) -> list[Path]:
    """List the bundles of one kind in a folder, or among the installed ones if `folder` is None."""
    return [found for found in list_bundles(folder) if read_config(found).grid.kind == kind]


def named(name: str, folder: Path | None) -> Path:
    """Find a bundle by its name in a folder of bundles, or else as `find` does.

    Raises:
        InputError: there is no such bundle.
    """
    inside = folder / name if folder else None
    return inside if inside and (inside / "config.json").exists() else find(name)
