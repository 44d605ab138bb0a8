"""Files of a bundle, in its own folder or in a folder that several bundles share.

    models/ixi-gpt2/files.json            {"tokenizer.safetensors": "28e9c0…"}
    models/shared/28e9c0….safetensors     the file, named after its SHA-256

A file in the bundle's own folder takes precedence, so training a bundle again never changes shared files.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from napari_vqad.errors import InputError
from napari_vqad.files.jsonfile import read_json
from napari_vqad.files.regular import is_regular, read_regular

LIST, SHARED = "files.json", "shared"
SHA256 = re.compile(r"[0-9a-f]{64}")


def shared_files(folder: Path) -> dict[str, str]:
    """Return the shared files of a bundle, name → SHA-256; empty if it shares none.

    Raises:
        InputError: files.json is damaged.
    """
    path = folder / LIST
    if not os.path.lexists(path):
        return {}
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(v, str) and SHA256.fullmatch(v) for v in found.values()):
        raise InputError(f"{path} is damaged: it does not give a SHA-256 for each file.")
    return found


def shared_path(folder: Path, sha256: str) -> Path:
    """Return the path of a bundle's shared file."""
    return folder.parent / SHARED / f"{sha256}.safetensors"


def path_of(folder: Path, name: str) -> Path:
    """Return the path of a bundle's file, which may be missing.

    Raises:
        InputError: as in `shared_files`.
    """
    own = folder / name
    if os.path.lexists(own) or (sha256 := shared_files(folder).get(name)) is None:
        return own
    return shared_path(folder, sha256)


def has_file(folder: Path, name: str) -> bool:
    """Say whether a bundle has a file. Pipes and missing shared files count; `read_file` rejects them.

    Raises:
        InputError: as in `shared_files`.
    """
    return (folder / name).exists() or name in shared_files(folder)


def is_complete(folder: Path, names: tuple[str, ...]) -> bool:
    """Say whether a bundle has or lists all files; True for a damaged files.json, whose error is shown on reading."""
    try:
        known = shared_files(folder)
    except InputError:
        return True
    return all(is_regular(folder / name) or name in known for name in names)


def read_file(folder: Path, name: str, limit: int, missing: str = "does not exist") -> bytes:
    """Read a bundle's file of at most `limit` bytes; the SHA-256 of a shared file is checked.

    Raises:
        InputError: as in `read_regular` and `shared_files`; or the shared file is missing or has another SHA-256.
    """
    path = path_of(folder, name)
    if path.parent == folder:
        return read_regular(path, limit, missing)
    raw = read_regular(path, limit, f"is missing: {folder} shares it; copy the folder '{SHARED}' as well")
    if hashlib.sha256(raw).hexdigest() != path.stem:
        raise InputError(f"{path} is damaged: its content does not have the SHA-256 that is its name.")
    return raw
