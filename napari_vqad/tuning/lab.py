"""The lab: anomalies are put into a scan, and the edited scan is analysed as a scan of its own.

The list of edits (`simulate.recipe`) is replayed on the original scan, so undo is a replay without the last edit.

Alignment, brain mask and intensity conversion are held from the original scan. A slice of the grid that no edit touches
is therefore identical, and keeps all results of the networks; only the others are computed again (`Lab.explorer`). The
pixel score is pooled from neighbouring slices and centred on the whole scan, as for any scan.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.protocol import Arrays
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.store import CACHE_BYTES, StageArrays
from napari_vqad.errors import InputError
from napari_vqad.imaging.brain_mask import make_mask
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.layout import with_voxels
from napari_vqad.imaging.volume import Volume, fingerprint
from napari_vqad.io.load import source_of
from napari_vqad.simulate.edits import replay
from napari_vqad.simulate.recipe import MOST, Edit, ForeignScan, Grey, Recipe

KEPT = 6  # analyses that are kept, so that undo, redo and the original are shown at once
SAMPLED = 20_000  # voxels of the brain, for ranks in words

Edits = tuple[Edit, ...]


class Lab:
    """The edits of one scan, with undo and redo, and the analyses of its edited versions.

    Attributes:
        original: the scan as it was read.
        mask: its brain mask, bool (R, A, S), which all versions share.
        done, undone: the edits, and those that were undone, the last one first to return.
    """

    def __init__(self, explorer: Explorer, mask: NDArray[np.bool_], foreign: Iterable[Volume] = ()) -> None:
        """Begin with an analysis of a scan, or of an edited scan, whose edits can then be undone.

        Args:
            explorer: holds the analysis.
            mask: bool (R, A, S), the brain mask of the analysis.
            foreign: other scans, which patches of the edits may come from.

        Raises:
            InputError: the scan is no head, or the model reads its diffusion measurements.
        """
        volume, bundle = explorer.scan, explorer.bundle
        if volume.kind != "head" or bundle.config.grid.measurements is not None:
            raise InputError("The lab needs the scan of a head, and a model that reads its grey values.")
        self.original, self.mask = volume.source, mask
        self.undone: Edits = ()
        self._foreign: dict[str, Volume] = {}
        if volume.edited is not None:
            assert isinstance(volume.edited.recipe, Recipe)
            self.grey, self.done = volume.edited.recipe.grey, volume.edited.recipe.edits
            wanted = {edit.scan.sha256 for edit in self.done if edit.scan is not None}
            self._foreign = {sha: v for v in foreign if wanted and (sha := fingerprint(v)) in wanted}
        else:
            self.grey, self.done = Grey.of(volume, mask), ()
        self._sorted = np.sort(self.original.voxels[mask][:: max(1, int(mask.sum()) // SAMPLED)])
        self._bundle, self._grid = bundle, explorer.grid
        self._lock = threading.Lock()  # `explorer` runs in a worker, and an older one may still be running
        self._explorers: OrderedDict[Edits, Explorer] = OrderedDict({self.done: explorer})

    def is_of(self, explorer: Explorer) -> bool:
        """Say whether an analysis is of the original or of an edited version of it, with the same model and grid."""
        grid, mine = explorer.grid, self._grid
        same = explorer.scan.source is self.original and explorer.bundle.hash == self._bundle.hash
        return (
            same
            and grid.axis == mine.axis
            and np.array_equal(grid.placement, mine.placement)
            and np.array_equal(grid.mask, mine.mask)
        )

    def take(self, explorer: Explorer) -> None:
        """Use another analysis of the same version from now on, such as one that was made anew."""
        edited = explorer.scan.edited
        with self._lock:
            self._explorers[edited.recipe.edits if edited is not None else ()] = explorer

    # ---- edits ------------------------------------------------------------------------------------------------------

    def add(self, edit: Edit) -> None:
        """Add an edit; undone ones are forgotten.

        Raises:
            InputError: it lies outside the scan or the brain, or there are too many; nothing is changed then.
        """
        if len(self.done) == MOST:
            raise InputError(f"{MOST} anomalies are in the scan already; undo one first.")
        edits = (*self.done, edit)
        self.edited(edits)  # to check it
        self.done, self.undone = edits, ()

    def undo(self) -> None:
        """Take the last edit back."""
        if self.done:
            self.done, self.undone = self.done[:-1], (*self.undone, self.done[-1])

    def redo(self) -> None:
        """Put the edit in again that was taken back last."""
        if self.undone:
            self.done, self.undone = (*self.done, self.undone[-1]), self.undone[:-1]

    def clear(self) -> None:
        """Take all edits back; `redo` puts them in again, the first one first."""
        self.done, self.undone = (), (*self.undone, *self.done[::-1])

    def carry(self, other: Lab) -> None:
        """Take over the edits of another lab of the same scan as undone ones, so that `redo` puts them in again."""
        if other.original is self.original and not self.done:
            self.undone = (*other.undone, *other.done[::-1])
            self._foreign |= other._foreign

    def foreign_scan(self, volume: Volume, mask: NDArray[np.bool_] | None = None) -> ForeignScan:
        """Register another scan, so that patches can be taken from it.

        Args:
            volume: the scan; of an edited one, a study could not find the voxels again.
            mask: its brain mask; computed, which takes a while, if not given.

        Raises:
            InputError: it is no head, or an edited scan.
        """
        if volume.kind != "head" or volume.edited is not None:
            raise InputError(f"A patch comes from the scan of a head as it was read; {volume.name} is none.")
        path, series = source_of(volume)
        sha = fingerprint(volume)
        self._foreign[sha] = volume
        grey = Grey.of(volume, make_mask(volume)[0] if mask is None else mask)
        return ForeignScan(
            name=volume.name, path=str(path.absolute()) if path else None, series=series, sha256=sha, grey=grey
        )

    def in_words(self, intensity: float, added: bool = False) -> str:
        """Describe an intensity, in SD: percent of the mean grey value, and the share of the brain that is darker."""
        words = self.grey.in_words(intensity, added)
        if added:
            return words
        darker = np.searchsorted(self._sorted, self.grey.mean + intensity * self.grey.sd) / len(self._sorted)
        return f"{words}, brighter than {100 * darker:.0f} % of the brain"

    # ---- the edited scan --------------------------------------------------------------------------------------------

    def edited(self, edits: Edits | None = None) -> Volume:
        """Return the edited scan, by default with the present edits; see `simulate.edits.replay`."""
        recipe = Recipe(grey=self.grey, edits=self.done if edits is None else edits)
        return replay(self.original, self.mask, recipe, self._foreign)

    def explorer(self, current: Explorer, edits: Edits | None = None, cache_bytes: int = CACHE_BYTES) -> Explorer:
        """Return an explorer of the edited scan that has the results of all slices that are known already.

        Args:
            current: the analysis that is shown; its settings are used.
            edits: by default the present ones; an empty tuple gives the original scan.
            cache_bytes: as in `Explorer`.

        Raises:
            InputError: as in `simulate.edits.replay`.
        """
        with self._lock:
            return self._explorer(current, self.done if edits is None else edits, cache_bytes)

    def _explorer(self, current: Explorer, edits: Edits, cache_bytes: int) -> Explorer:
        settings = current.settings
        known = [e for e in self._explorers.values() if e is not current]
        for explorer in known:
            explorer.change(settings)
        there = self._explorers.get(edits)
        if there is None or not there.complete:
            volume = self.edited(edits)
            grid = with_voxels(self._grid, volume, self.mask, self._bundle.config.grid)
            made = Explorer(current.bundle, settings, cache_bytes)
            made.resume(volume, self.mask, grid, known_results(grid, [current, *reversed(known)]))
            there = made
        there.focus = current.focus
        self._explorers[edits] = there
        self._explorers.move_to_end(edits)
        for old in [key for key in self._explorers if key][: max(0, len(self._explorers) - KEPT)]:
            del self._explorers[old]
        return there


def known_results(grid: Grid, explorers: Sequence[Explorer]) -> StageArrays:
    """Collect the results of the networks for slices whose input is the same as in one of some analyses.

    Args:
        grid: the scan.
        explorers: analyses with the same model and settings; the first with results of a slice is used.
    """
    found: dict[str, list[Arrays]] = {}
    made: list = []
    for explorer in explorers:
        stages = explorer.stages()
        same = [*map(np.array_equal, grid.slices, explorer.grid.slices)]
        for name, slices in stages.results.items():
            mine = found.setdefault(name, [{} for _ in same])
            for i, arrays in enumerate(slices):
                if same[i] and _count(arrays) > _count(mine[i]):
                    mine[i] = arrays
        made += [m for m in stages.made if m not in made]
    return StageArrays(found, tuple(made))


def _count(arrays: Arrays) -> int:
    return next((len(array) for array in arrays.values()), 0)


def touched(grid: Grid, other: Grid) -> NDArray[np.intp]:
    """Return the numbers of the slices that differ between two grids of the same shape."""
    return np.flatnonzero((grid.slices != other.slices).any((1, 2)))
