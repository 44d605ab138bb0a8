"""Checks, before an analysis starts, that its results can be written."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from napari_vqad.errors import InputError
from napari_vqad.files.atomic import atomic_folder


def folder_of(text: str | Path) -> Path:
    """Return the folder that the user named.

    Raises:
        InputError: the name is empty or invalid, or names a file.
    """
    if not str(text).strip():
        raise InputError("The name of the folder to write to is empty; give '.' for the one you are in.")
    if "\0" in str(text):
        raise InputError(f"{text} cannot be the name of a folder.")
    folder = Path(text)
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; give a folder.")
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror or error}.") from error
    return folder


def check_folder(folder: Path, names: Iterable[str], size: int = 0) -> None:
    """Check by a trial that files can be written to a folder; the trial leaves nothing behind.

    Args:
        folder: the folder; it may be missing.
        names: names of the files.
        size: approximate size of all files, in bytes.

    Raises:
        InputError: they cannot be written.
    """
    names = list(names)
    try:
        # Try the longest name in a work folder: a path may be too long, a disk read-only or full.
        with atomic_folder(folder) as files:
            (files / max(names, key=len)).write_bytes(b"0")
            free = shutil.disk_usage(files).free
            for name in names:
                if (folder / name).exists() and not (folder / name).is_file():
                    raise InputError(f"{folder / name} is no regular file, and stands where one is to be written.")
            raise _TriedError
    except _TriedError:
        if free < size:
            raise InputError(f"{folder} has room for {_mb(free)}; about {_mb(size)} are needed.") from None


def check_file(path: Path) -> None:
    """Check one file like `check_folder`; its folder must exist.

    Raises:
        InputError: it cannot be written.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder.")
    check_folder(path.parent, [path.name])


class _TriedError(Exception):
    """The trial succeeded; raised to keep the trial's file from being moved."""


def _mb(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
