"""A step of a restoration as three pictures: its codes, their NLL over the scan, and what they decode to."""

from __future__ import annotations

import colorsys
from typing import NamedTuple

import numpy as np

from napari_vqad.detectors.protocol import Step
from napari_vqad.display.scales import limits
from napari_vqad.display.slice_picture import PictureStyle, SlicePicture
from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.engine.explorer import Explorer

GOLDEN = 0.618034  # of a turn of the colour wheel from one code to the next: neighbours in number look different


class Titled(NamedTuple):
    """A picture (h, w, 3), 0 to 1, and what stands beside it."""

    title: str
    rgb: np.ndarray


def pictures_of(explorer: Explorer, index: int, step: Step, look: PictureStyle) -> tuple[list[Titled], str]:
    """The pictures of a step of slice `index`, and the letter of the side at their left edge."""
    frame, evidence = SlicePicture(explorer.grid, index, look), evidence_maps(explorer.maps)[0]
    return [
        Titled("Codes (bright: drawn)", frame.coloured(code_colours(step, explorer.grid.mask[index].shape))),
        Titled(f"{evidence.title} ({evidence.unit})", frame.heated(step.evidence, limits(explorer)[evidence.name])),
        Titled("Picture", frame.grey(step.picture)),
    ], frame.side


def code_colours(step: Step, shape: tuple[int, ...]) -> np.ndarray:
    """Each code as a square of its own colour, (H, W, 3); those that were not drawn are pale."""
    colours = np.array([colorsys.hsv_to_rgb(GOLDEN * c % 1, 0.85, 1.0) for c in range(int(step.codes.max()) + 1)])
    shown = colours[step.codes]
    pale = 0.25 + 0.25 * shown.mean(-1, keepdims=True) + 0.1 * shown
    shown = np.where(step.changed[..., None], shown, pale)
    rows, columns = (np.arange(n) * k // n for n, k in zip(shape, step.codes.shape, strict=True))
    return shown[rows][:, columns]
