"""The restorations of the slice in view as small pictures: their mean, where they disagree, each with its weight."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from napari_vqad.display.scales import limits
from napari_vqad.display.slice_picture import PictureStyle, SlicePicture
from napari_vqad.display.views import MEAN, SPREAD
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.maps import SliceRestorations


class Thumbnail(NamedTuple):
    """A picture (H, W, 3), 0 to 1, what is under it, which restoration it is, and the side of its left edge."""

    which: int
    words: str
    rgb: np.ndarray
    side: str


def thumbnails_of(explorer: Explorer, found: SliceRestorations, look: PictureStyle) -> list[Thumbnail]:
    """The restorations of the slice in focus: their mean, their SD over the scan where there are more, each of them."""
    frame = SlicePicture(explorer.grid, explorer.focus, look)
    thumbnails = [Thumbnail(MEAN, "mean of S", frame.grey(found.mean), frame.side)]
    if len(found.weights) > 1:
        over = frame.heated(found.disagreement, limits(explorer)["disagreement"])
        thumbnails.append(Thumbnail(SPREAD, "SD of S", over, frame.side))
    for j, (picture, weight) in enumerate(zip(found.pictures, found.weights, strict=True), start=1):
        thumbnails.append(Thumbnail(j, f"{j}: w {100 * weight:.1f} %", frame.grey(picture), frame.side))
    return thumbnails


def alike(some: list[Thumbnail], others: list[Thumbnail]) -> bool:
    """Do they show the same?"""
    return len(some) == len(others) and all(
        (a.words, a.side) == (b.words, b.side) and np.array_equal(a.rgb, b.rgb)
        for a, b in zip(some, others, strict=True)
    )
