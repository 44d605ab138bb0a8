"""Volumes for NiiVue: a scan and a map as bytes of NIfTI, a map's values in 256 steps of its colours."""

from __future__ import annotations

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.display.colours import FLAG, heat
from napari_vqad.display.window import DARK
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.volume import Volume

HEAT, BRAIN, FLAGGED, GREY = "vqad heat", "vqad brain", "vqad flagged", "gray"
# NiiVue draws an overlay with the opacity (value / t)² below a threshold t, this one, and opaque from there on.
OPAQUE = 90
STEPS = 64  # of the colour map of the maps, between which NiiVue interpolates


def grey_steps(voxels: NDArray, ends: tuple[float, float]) -> NDArray[np.uint8]:
    """Grey values as 0 to 255 between two ends."""
    low, high = ends
    return np.clip((voxels - low) * (255.0 / (high - low)) + 0.5, 0, 255).astype(np.uint8)


def heat_steps(values: NDArray, ends: tuple[float, float]) -> NDArray[np.uint8]:
    """A map's values as steps of its colours, 0 to 255; 0 is transparent."""
    return grey_steps(values, ends)


def window_steps(values: NDArray, window: tuple[float, float]) -> NDArray[np.uint8]:
    """A restoration's values, SD, as `OPAQUE` to 255 in the window; 0, transparent, where it is `DARK`."""
    low, high = window
    grey = OPAQUE + np.clip((values - low) / (high - low), 0, 1) * (255 - OPAQUE)
    return np.where(values <= DARK / 2 + low / 2, 0, grey + 0.5).astype(np.uint8)


def outlines(flagged: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The outermost voxels of what is flagged as 255, so that each plane shows an outline; all others as 0."""
    return np.where(flagged & ~ndimage.binary_erosion(flagged), 255, 0).astype(np.uint8)


def nifti_bytes(array: NDArray[np.uint8], affine: NDArray) -> bytes:
    """An array (R, A, S) as the bytes of a NIfTI file."""
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())


def view_affine(volume: Volume, grid: Grid) -> NDArray:
    """The affine from the voxels of a grid's view to scanner mm, for oblique scans, too."""
    return volume.affine @ np.linalg.inv(volume.frame.to_mm) @ grid.view.to_mm


def colour_maps() -> dict[str, dict[str, list[int]]]:
    """The colour maps by name, as NiiVue takes them: red, green, blue, alpha at the steps I, all 0 to 255."""
    at = np.linspace(0, 255, STEPS).round().astype(int)
    coloured = (heat()(at / 255) * 255).round().astype(int)
    red, green, blue = (round(255 * c) for c in FLAG[:3])
    return {
        HEAT: {name: coloured[:, i].tolist() for i, name in enumerate("RGBA")} | {"I": at.tolist()},
        BRAIN: {name: [0, 0, 255] for name in "RGB"} | {"A": [0, 255, 255], "I": [0, OPAQUE, 255]},
        FLAGGED: {"R": [0, red, red], "G": [0, green, green], "B": [0, blue, blue]}
        | {"A": [0, 255, 255], "I": [0, 1, 255]},
    }
