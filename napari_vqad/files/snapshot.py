"""Files of a bundle, each read once: what was checked, what is used and what is hashed are the same bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_vqad.files.shared import has_file, read_file


class Snapshot:
    """The files of a folder as they were when each was read; one that is replaced later changes nothing here.

    Attributes:
        folder: where they are.
        all, weights: sha256 of all bytes read so far, and of those read with `weights`.
    """

    def __init__(self, folder: Path, what: str) -> None:
        """`what` the folder is, such as "bundle", for the sentence about a file that is missing."""
        self.folder, self.what = folder, what
        self.all, self.weights = hashlib.sha256(), hashlib.sha256()

    def has(self, name: str) -> bool:
        """Is there such a file? A pipe counts, which `read` then refuses."""
        return has_file(self.folder, name)

    def read(self, name: str, limit: int, weights: bool = False) -> bytes:
        """A file's bytes, at most `limit`; they go into the hashes in the order of the calls.

        Raises:
            InputError: as `read_file`.
        """
        raw = read_file(self.folder, name, limit, f"is missing from the {self.what}")
        self.all.update(raw)
        if weights:
            self.weights.update(raw)
        return raw
