"""Pictures for NiiVue: a scan as bytes of NIfTI, the values of a map as steps of a table of colours."""

from __future__ import annotations

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.display.colours import FLAG, heat
from napari_vqad.display.window import DARK

# The canvas has one table of 256 colours, so that another view changes no table: 0 is transparent, then the colours of
# the maps, then the grey values of restorations, then the outlines of what is flagged.
HEAT, BRAIN, FLAGGED = (1, 127), (128, 254), 255


def grey_steps(voxels: NDArray, ends: tuple[float, float]) -> NDArray[np.uint8]:
    """Grey values as 0 to 255 between two ends."""
    low, high = ends
    return np.clip((voxels - low) * (255.0 / (high - low)) + 0.5, 0, 255).astype(np.uint8)


def heat_steps(values: NDArray, ends: tuple[float, float]) -> NDArray[np.uint8]:
    """A map's values as steps of its colours (`HEAT`); 0, transparent, at the lower end."""
    low, high = ends
    return np.clip((values - low) * (HEAT[1] / (high - low)) + 0.5, 0, HEAT[1]).astype(np.uint8)


def window_steps(values: NDArray, window: tuple[float, float]) -> NDArray[np.uint8]:
    """A restoration's values, SD, as grey values of the window (`BRAIN`); 0, transparent, where it is `DARK`."""
    (low, high), (first, last) = window, BRAIN
    grey = first + np.clip((values - low) / (high - low), 0, 1) * (last - first)
    return np.where(values <= DARK / 2 + low / 2, 0, grey + 0.5).astype(np.uint8)


def outlines(flagged: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The outermost voxels of what is flagged as `FLAGGED`, so that each plane shows an outline; all others as 0."""
    return np.where(flagged & ~ndimage.binary_erosion(flagged), FLAGGED, 0).astype(np.uint8)


def nifti_bytes(array: NDArray[np.uint8], affine: NDArray) -> bytes:
    """An array (R, A, S) as the bytes of a NIfTI file."""
    image = nibabel.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    return bytes(image.to_bytes())


def colours() -> dict[str, list[int]]:
    """The 256 colours of the canvas, as NiiVue takes them: red, green, blue, alpha, all 0 to 255."""
    table = np.zeros((256, 4))
    table[: HEAT[1] + 1] = heat()(np.arange(HEAT[1] + 1) / HEAT[1])
    table[BRAIN[0] : BRAIN[1] + 1, :3] = np.linspace(0, 1, BRAIN[1] - BRAIN[0] + 1)[:, None]
    table[BRAIN[0] :, 3] = 1
    table[FLAGGED, :3] = FLAG[:3]
    return {name: (255 * table[:, i]).round().astype(int).tolist() for i, name in enumerate("RGBA")}
