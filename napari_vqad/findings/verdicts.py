"""Verdicts by scan: they go with the scan that they are of, and come back with it; and which of them were saved."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping

import numpy as np

from napari_vqad.engine.explorer import Explorer
from napari_vqad.findings.review import Annotation, Peaks, Review

Words = Mapping[Peaks, Annotation]


class Verdicts:
    """Keeps what was said of each scan that was analysed in this window."""

    def __init__(self, review: Review) -> None:
        self.review = review
        self.scan: Hashable = None  # the scan that the review is of
        self._said: dict[Hashable, Words] = {}
        self._saved: dict[Hashable, Words] = {}

    def begin(self, explorer: Explorer) -> None:
        """Another analysis. What was said stays when it is of the same scan on the same grid, as after a cancel."""
        volume, grid = explorer.scan, explorer.grid
        voxels = zlib.crc32(np.ascontiguousarray(volume.voxels).data)
        now = (volume.path, volume.name, volume.voxels.shape, voxels, grid.slices.shape, grid.placement.tobytes())
        if now != self.scan:
            self.leave()
            self.scan = now
            if said := self._said.pop(now, {}):
                self.review.restore(said)

    def leave(self) -> int:
        """The scan is gone: nothing said of it is shown. Returns how many words are kept for when it comes again."""
        words, scan, self.scan = self.review.annotations, self.scan, None
        if scan is not None and words:
            self._said[scan] = words
        self.review.clear()
        return len(words)

    def saved(self, scan: Hashable, words: Words) -> None:
        """What was said of a scan is in a study, a report or a table now."""
        self._saved[scan] = dict(words)

    @property
    def unsaved(self) -> int:
        """How many findings were judged, noted or taken back since that was last saved, in all scans of this window.

        None once the last scan is gone: whoever took it out was told, and a script that closes its viewer is not asked.
        """
        if self.scan is None:
            return 0
        said = {**self._said, self.scan: self.review.annotations}
        return sum(_differ(said.get(scan, {}), self._saved.get(scan, {})) for scan in said.keys() | self._saved.keys())


def _differ(some: Words, others: Words) -> int:
    return sum(some.get(place) != others.get(place) for place in some.keys() | others.keys())
