"""One slice as a small picture: cut to the mask, turned as the canvas turns it, grey or with colours over it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_vqad.display.colours import heat
from napari_vqad.display.orientation import upright
from napari_vqad.display.scales import WINDOW
from napari_vqad.imaging.grid import Grid


class PictureStyle(NamedTuple):
    """As the canvas shows it: window in SD, and is the patient's right on the right?"""

    window: tuple[float, float] = WINDOW
    neurological: bool = False


class SlicePicture:
    """Draws maps (H, W) of one slice of a grid as (h, w, 3), 0 to 1; `side` is the letter at the left edge."""

    def __init__(self, grid: Grid, index: int, look: PictureStyle) -> None:
        self._mask, self._scan, self._look = grid.mask[index], grid.slices[index], look
        inside = np.flatnonzero(grid.mask.any((0, 2))), np.flatnonzero(grid.mask.any((0, 1)))
        self._box = tuple(slice(max(int(at[0]) - 2, 0), int(at[-1]) + 3) for at in inside)
        self._head, self._mirrored = grid.kind == "head", look.neurological and grid.axis != 0
        self.side = ("A", "L" if self._mirrored else "R")[grid.axis != 0] if self._head else ""

    def turned(self, picture: np.ndarray) -> np.ndarray:
        """A map cut to the mask, in the convention of the canvas."""
        if not self._head:  # a frame lies in the grid as in its file
            return picture[self._box]
        radiological = upright(picture[self._box])
        return radiological[:, ::-1] if self._mirrored else radiological

    def grey(self, picture: np.ndarray) -> np.ndarray:
        """In the window of the canvas, dark beyond the mask."""
        low, high = self._look.window
        shown = np.clip((picture - low) / (high - low), 0, 1) * self._mask
        return np.repeat(self.turned(shown)[..., None], 3, 2)

    def heated(self, values: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
        """A map in colours over the scan; `ends` are the values of the darkest and of the brightest colour."""
        low, high = ends
        colour = heat()(np.clip((self.turned(values * self._mask) - low) / (high - low), 0, 1))
        return self.grey(self._scan) * (1 - colour[..., 3:]) + colour[..., :3] * colour[..., 3:]

    def coloured(self, colours: np.ndarray) -> np.ndarray:
        """Colours (H, W, 3), dark beyond the mask."""
        return np.stack([self.turned(colours[..., c] * self._mask) for c in range(3)], -1)
