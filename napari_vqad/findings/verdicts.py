"""Keeps annotations by scan, restores them when a scan is analysed again, and tracks which are saved."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping

import numpy as np

from napari_vqad.engine.explorer import Explorer
from napari_vqad.findings.review import Annotation, Peaks, Review

Words = Mapping[Peaks, Annotation]


class Verdicts:
    """The annotations of each scan that was analysed in this window."""

    def __init__(self, review: Review) -> None:
        self.review = review
        self.scan: Hashable = None  # the scan under review
        self._said: dict[Hashable, Words] = {}
        self._saved: dict[Hashable, Words] = {}

    def begin(self, explorer: Explorer) -> None:
        """Start the review of an analysis; annotations are kept for the same scan on the same grid."""
        volume, grid = explorer.scan, explorer.grid
        voxels = zlib.crc32(np.ascontiguousarray(volume.voxels).data)
        now = (volume.path, volume.name, volume.voxels.shape, voxels, grid.slices.shape, grid.placement.tobytes())
        if now != self.scan:
            self.leave()
            self.scan = now
            if said := self._said.pop(now, {}):
                self.review.restore(said)

    def leave(self) -> int:
        """Clear the review when its scan is closed; return the number of annotations kept for the next time."""
        words, scan, self.scan = self.review.annotations, self.scan, None
        if scan is not None and words:
            self._said[scan] = words
        self.review.clear()
        return len(words)

    def saved(self, scan: Hashable, words: Words) -> None:
        """Record that the annotations of a scan were saved in a study, a report or a table."""
        self._saved[scan] = dict(words)

    @property
    def unsaved(self) -> int:
        """Number of annotations changed since they were last saved, over all scans of this window.

        0 after the current scan was closed: the user was told then, and a script that closes its viewer is not asked.
        """
        if self.scan is None:
            return 0
        said = {**self._said, self.scan: self.review.annotations}
        return sum(_differ(said.get(scan, {}), self._saved.get(scan, {})) for scan in said.keys() | self._saved.keys())


def _differ(some: Words, others: Words) -> int:
    return sum(some.get(place) != others.get(place) for place in some.keys() | others.keys())
