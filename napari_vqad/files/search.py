"""Searches a folder and its subfolders, within limits on number, depth and time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from napari_vqad.errors import InputError
from napari_vqad.files import limits


def search(folder: Path, wanted: Callable[[Path], bool]) -> Iterator[Path]:
    """Yield the wanted files in a folder and its subfolders, by name; hidden entries are skipped, links not followed.

    Args:
        folder: where to begin. A folder that cannot be read counts as empty.
        wanted: says whether a file is wanted.

    Raises:
        InputError: the folder holds more than `limits.SEARCH_FILES` files and folders, has folders nested deeper than
            `limits.SEARCH_DEPTH`, or takes longer than `limits.SEARCH_SECONDS`; the caller's own time does not count.
    """
    todo, seen, spent = [(folder, 0)], 0, 0.0
    while todo:
        place, depth = todo.pop()
        if depth > limits.SEARCH_DEPTH:
            raise _too_large(folder, f"has folders nested more than {limits.SEARCH_DEPTH} deep")
        began = time.monotonic()
        folders: list[str] = []
        files: list[str] = []
        for entry in _entries(place):
            seen += 1
            if seen > limits.SEARCH_FILES:
                raise _too_large(folder, f"holds more than {limits.SEARCH_FILES} files and folders")
            (folders if _is_folder(entry) else files).append(entry.name)
        spent += time.monotonic() - began
        for name in sorted(files):
            began = time.monotonic()
            found = wanted(place / name)
            spent += time.monotonic() - began
            if spent > limits.SEARCH_SECONDS:
                raise _too_large(folder, f"takes more than {limits.SEARCH_SECONDS:.0f} s to search")
            if found:
                yield place / name
        todo.extend((place / name, depth + 1) for name in sorted(folders, reverse=True))


def listed(folder: Path) -> list[Path]:
    """List the entries of a folder by name, without hidden ones; empty if the folder cannot be read.

    Raises:
        InputError: the folder holds more than `limits.SEARCH_FILES` entries.
    """
    found: list[Path] = []
    for entry in _entries(folder):
        if len(found) >= limits.SEARCH_FILES:
            raise _too_large(folder, f"holds more than {limits.SEARCH_FILES} files and folders")
        found.append(folder / entry.name)
    return sorted(found)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not entry.name.startswith("."))
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _too_large(folder: Path, why: str) -> InputError:
    return InputError(f"{folder} {why}; give a folder that holds less, such as that of one series.")
