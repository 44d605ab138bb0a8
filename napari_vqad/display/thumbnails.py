"""Thumbnails for the slice in view: the mean of the restorations, their SD, and each one with its weight."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_vqad.display.colours import heat
from napari_vqad.display.orientation import upright
from napari_vqad.display.scales import WINDOW, limits
from napari_vqad.display.views import MEAN, SPREAD
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.maps import SliceRestorations


class GalleryStyle(NamedTuple):
    """The look of the canvas: window in SD, and whether the patient's right is on the right."""

    window: tuple[float, float] = WINDOW
    neurological: bool = False


class Thumbnail(NamedTuple):
    """A picture `rgb` (H, W, 3), 0 to 1, the text below it, its restoration, and the side at its left edge."""

    which: int
    words: str
    rgb: np.ndarray
    side: str


def thumbnails_of(explorer: Explorer, found: SliceRestorations, look: GalleryStyle) -> list[Thumbnail]:
    """Thumbnails for the slice in focus: the mean, the SD over the scan if there are several, and each restoration."""
    grid, i = explorer.grid, explorer.focus
    inside = np.flatnonzero(grid.mask.any((0, 2))), np.flatnonzero(grid.mask.any((0, 1)))
    box = tuple(slice(max(int(at[0]) - 2, 0), int(at[-1]) + 3) for at in inside)
    mirrored = look.neurological and grid.axis != 0
    side = ("A", "L" if mirrored else "R")[grid.axis != 0] if grid.kind == "head" else ""

    def turned(picture: np.ndarray) -> np.ndarray:
        if grid.kind != "head":
            return picture[box].T
        radiological = upright(picture[box])
        return radiological[:, ::-1] if mirrored else radiological

    def grey(picture: np.ndarray) -> np.ndarray:
        """Apply the window of the canvas; outside the mask the picture is black."""
        low, high = look.window
        shown = np.clip((picture - low) / (high - low), 0, 1) * grid.mask[i]
        return np.repeat(turned(shown)[..., None], 3, 2)

    thumbnails = [Thumbnail(MEAN, "mean of S", grey(found.mean), side)]
    if len(found.weights) > 1:
        low, high = limits(explorer)["disagreement"]
        colour = heat()(np.clip((turned(found.disagreement * grid.mask[i]) - low) / (high - low), 0, 1))
        over = grey(grid.slices[i]) * (1 - colour[..., 3:]) + colour[..., :3] * colour[..., 3:]
        thumbnails.append(Thumbnail(SPREAD, "SD of S", over, side))
    for j, (picture, weight) in enumerate(zip(found.pictures, found.weights, strict=True), start=1):
        thumbnails.append(Thumbnail(j, f"{j}: w {100 * weight:.1f} %", grey(picture), side))
    return thumbnails


def alike(some: list[Thumbnail], others: list[Thumbnail]) -> bool:
    """Do two lists of thumbnails show the same?"""
    return len(some) == len(others) and all(
        (a.words, a.side) == (b.words, b.side) and np.array_equal(a.rgb, b.rgb)
        for a, b in zip(some, others, strict=True)
    )
