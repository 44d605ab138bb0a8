"""Reads each file of a bundle once, so that the same bytes are checked, used and hashed."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_vqad.files.shared import has_file, read_file


class Snapshot:
    """Reader of a folder's files that hashes the bytes it returns.

    Attributes:
        folder: the folder.
        all, weights: SHA-256 of all bytes read so far, and of those read with `weights`.
    """

    def __init__(self, folder: Path, what: str) -> None:
        """`what` names the kind of folder, such as "bundle", in messages about missing files."""
        self.folder, self.what = folder, what
        self.all, self.weights = hashlib.sha256(), hashlib.sha256()

    def has(self, name: str) -> bool:
        """Say whether there is such a file. A pipe counts; `read` rejects it."""
        return has_file(self.folder, name)

    def read(self, name: str, limit: int, weights: bool = False) -> bytes:
        """Read a file of at most `limit` bytes; the order of calls determines the hashes.

        Raises:
            InputError: as in `read_file`.
        """
        raw = read_file(self.folder, name, limit, f"is missing from the {self.what}")
        self.all.update(raw)
        if weights:
            self.weights.update(raw)
        return raw
