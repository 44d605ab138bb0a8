"""The maps as they are shown: the newest final picture of each slice, placed on the axes of the scan."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_vqad.detectors.settings import Settings
from napari_vqad.display.views import Spec
from napari_vqad.display.window import DARK
from napari_vqad.engine.explorer import Explorer

IN_WINDOW = "restoration"  # the role of the maps that share the scan's window


def in_window(maps: Mapping[str, Spec]) -> list[str]:
    """The names of the maps that share the scan's window: the restorations."""
    return [name for name, spec in maps.items() if spec.role == IN_WINDOW]


class ShownMaps:
    """What is shown of each map of an explorer."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self._drawn: dict[str, tuple] = {}  # what each map shows: stack, final slices, which, settings
        self._stack: dict[str, np.ndarray] = {}  # (n, H, W): the newest final picture of each slice
        self._filled: dict[str, np.ndarray] = {}  # bool (n,), slices that have a final picture

    def newest(self, name: str, j: int = 0) -> np.ndarray | None:
        """A map with, in each slice that is not final, the picture that was final before; None if it is unchanged.

        Args:
            name: one of `Explorer.maps`.
            j: the number of the restoration from 0, for an indexed map.
        """
        explorer = self._explorer
        ready, known = explorer.ready(name), self._drawn.get(name)
        of = j if explorer.maps[name].indexed else 0
        if known is not None and known[2] != of:  # another restoration is no older picture of this one
            self._stack.pop(name)
            self._filled.pop(name)
        before, filled = self._stack.get(name), self._filled.get(name, np.zeros(len(ready), bool))
        if before is not None and known is not None and known[2] == of and not ready.any():
            return None  # nothing of it is final: as it is
        stack = explorer.map(name, j)
        self._drawn[name] = stack, ready, of, explorer.settings
        if known is not None and known[0] is stack and known[2] == of and np.array_equal(known[1], ready):
            return None
        old = np.zeros_like(stack) if before is None else before
        needed = ready | ~explorer.chosen()
        self._stack[name] = stack if needed.all() else np.where(needed[:, None, None], stack, old)
        self._filled[name] = filled | ready
        return self._stack[name]

    def on_view(self, name: str, stack: np.ndarray) -> np.ndarray:
        """Resample a map (n, H, W) to the voxels of the grid's view, (R, A, S)."""
        grid = self._explorer.grid
        if self._explorer.maps[name].role == IN_WINDOW:
            # Transparent outside mask and grid, flat grey where there is no restoration yet.
            return grid.to_display(np.where(grid.mask, stack, np.float32(DARK)), beyond=DARK)
        return grid.to_display(stack, order=0 if name == "flagged" else 1)

    def holds(self, name: str, index: int) -> bool:
        """Is there a final picture of this slice, if perhaps from earlier settings?"""
        filled = self._filled.get(name)
        return filled is not None and bool(filled[index])

    def settings_of(self, name: str) -> Settings | None:
        """The settings with which a map was last drawn; None if it was not."""
        drawn = self._drawn.get(name)
        return None if drawn is None else drawn[3]


def state_in_words(explorer: Explorer, shown: ShownMaps, name: str, running: bool, along: bool) -> tuple[bool, str]:
    """Is the picture of a map out of date, so that it is dimmed? And a sentence on what is missing; empty if nothing.

    Args:
        explorer, shown: the analysis, and what is shown of it.
        name: the map in view.
        running: is the analysis running?
        along: does the picture show the slice in focus? Otherwise it cuts through all slices.
    """
    chosen, ready, focus = explorer.chosen(), explorer.ready(name), explorer.focus
    left = int((chosen & ~ready).sum())
    if not left:
        return False, ""
    unit = "slices" if explorer.grid.kind == "head" else "frames"
    rest = f"{left} of {explorer.n_slices} {unit} are not final yet"
    if not running:
        rest += ": the run was stopped"
    if not along:
        return True, f"{rest}."
    if ready[focus] or not chosen[focus]:
        return False, f"{rest}."
    if shown.holds(name, focus):
        why = "restoring …" if running else "the run was stopped."
        return True, f"Settings have changed: {why} This picture shows earlier settings."
    return False, "This slice is not analysed yet." if running else "This slice is not analysed: the run was stopped."
