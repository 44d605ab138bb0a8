"""Of many files opened at once, a series is read once and refused once, though napari hands on each file alone."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable
from pathlib import Path

from napari_vqad.imaging.volume import Volume
from napari_vqad.io.dicom_index import series_uid
from napari_vqad.io.dicom_series import Series

MOMENT = 3.0  # seconds; files that are handed on with less between them were opened at once

SeriesKey = tuple[Path, str]  # a folder, and the UID of a series that has files in it


class RecentlyRead:
    """What was said or done while the files that are being opened at once came one by one."""

    def __init__(self) -> None:
        self._known: set[Hashable] = set()
        self._end = float("-inf")

    def begin(self) -> None:
        """A file has come; what was known of those before the last moment is forgotten."""
        if time.monotonic() - self._end > MOMENT:
            self._known.clear()

    def end(self) -> None:
        """It is done with."""
        self._end = time.monotonic()

    def __contains__(self, what: Hashable) -> bool:
        return what in self._known

    def add(self, what: Hashable) -> bool:
        """Remember something; was it new?"""
        new = what not in self._known
        self._known.add(what)
        return new


def key_of(path: str | Path) -> SeriesKey | None:
    """Which series a DICOM file is of; None for a folder, which is opened whenever it is asked for, and for others."""
    path = Path(path).absolute()
    uid = series_uid(path) if path.is_file() else None
    return None if uid is None else (path.parent, uid)


def keys_in(volumes: Iterable[Volume]) -> set[SeriesKey]:
    """The series of scans that are open. A copy in another folder is another one."""
    found = (v.header for v in volumes if isinstance(v.header, Series))
    return {(file.absolute().parent, series.uid) for series in found for file in series.files}
