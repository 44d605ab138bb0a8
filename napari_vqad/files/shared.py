"""Files of a bundle that lie in its folder, or once beside several bundles that share them.

    models/ixi-gpt2/files.json            {"tokenizer.safetensors": "28e9c0…"}
    models/shared/28e9c0….safetensors     the file, named after its SHA-256

A file in the folder itself comes first, so a bundle that is trained anew never writes into what others share.
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
    """The files that a bundle shares: name → SHA-256; empty where it shares none.

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
    """Where a shared file of a bundle lies."""
    return folder.parent / SHARED / f"{sha256}.safetensors"


def path_of(folder: Path, name: str) -> Path:
    """Where a file of a bundle lies, or would lie if it were there.

    Raises:
        InputError: as `shared_files`.
    """
    own = folder / name
    if os.path.lexists(own) or (sha256 := shared_files(folder).get(name)) is None:
        return own
    return shared_path(folder, sha256)


def has_file(folder: Path, name: str) -> bool:
    """Does a bundle have this file? A pipe counts, which `read_file` then refuses; so does a shared file that is lost.

    Raises:
        InputError: as `shared_files`.
    """
    return (folder / name).exists() or name in shared_files(folder)


def is_complete(folder: Path, names: tuple[str, ...]) -> bool:
    """Does a bundle name all of these files? A damaged files.json counts: reading says what is wrong with it."""
    try:
        known = shared_files(folder)
    except InputError:
        return True
    return all(is_regular(folder / name) or name in known for name in names)


def read_file(folder: Path, name: str, limit: int, missing: str = "does not exist") -> bytes:
    """All bytes of a bundle's file, at most `limit`; of a shared file the SHA-256 is checked.

    Raises:
        InputError: as `read_regular` and `shared_files`; or the shared file is lost, or another one.
    """
    path = path_of(folder, name)
    if path.parent == folder:
        return read_regular(path, limit, missing)
    raw = read_regular(path, limit, f"is missing: {folder} shares it; copy the folder '{SHARED}' as well")
    if hashlib.sha256(raw).hexdigest() != path.stem:
        raise InputError(f"{path} is damaged: its content does not have the SHA-256 that is its name.")
    return raw
