"""When many files are opened together, napari calls the reader once per file.

This module makes sure that each DICOM series is read, or refused, only once.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from pathlib import Path

from napari_vqad.imaging.volume import Volume
from napari_vqad.io.dicom_index import series_uid
from napari_vqad.io.dicom_series import Series

MOMENT = 3.0  # seconds; files read with shorter pauses between them were opened together

SeriesKey = tuple[Path, str]  # a folder, and the UID of a series with files in it


class RecentlyRead:
    """Remembers what was read and reported for files that are opened together."""

    def __init__(self) -> None:
        self._known: set[Hashable] = set()
        self._end = float("-inf")

    def begin(self) -> None:
        """Start reading a file. Forget everything if the last file was read more than `MOMENT` ago."""
        if time.monotonic() - self._end > MOMENT:
            self._known.clear()

    def end(self) -> None:
        """End reading a file."""
        self._end = time.monotonic()

    def __contains__(self, what: Hashable) -> bool:
        return what in self._known

    def add(self, what: Hashable) -> bool:
        """Remember something. Returns whether it was new."""
        new = what not in self._known
        self._known.add(what)
        return new


def key_of(path: str | Path) -> SeriesKey | None:
    """The series of a DICOM file. None for other files, and for a folder, which is always opened."""
    path = Path(path).absolute()
    uid = series_uid(path) if path.is_file() else None
    return None if uid is None else (path.parent, uid)


def keys_in(volumes: Iterable[Volume]) -> set[SeriesKey]:
    """The series of some scans. A copy in another folder counts as another series."""
    found = (v.header for v in volumes if isinstance(v.header, Series))
    return {(file.absolute().parent, series.uid) for series in found for file in series.files}
