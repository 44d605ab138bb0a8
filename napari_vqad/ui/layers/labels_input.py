"""Labels layers as the truth about a scan: their voxels and where they lie."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels, Layer
from numpy.typing import NDArray

from napari_vqad.errors import InputError
from napari_vqad.imaging.resample import VoxelGrid
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.layers import placement


def may_be_truth(layer: Layer) -> bool:
    """Can a layer hold labels of a scan? The maps of an analysis cannot."""
    return isinstance(layer, Labels) and layer.ndim == 3 and "napari_vqad_grid" not in layer.metadata


def labelled_voxels(layer: Labels, scan: Volume) -> tuple[NDArray[np.bool_], NDArray]:
    """The voxels of a Labels layer, bool (R, A, S), true above zero, and their 4×4 affine, voxel → scanner mm.

    A layer that we did not read has no affine; it is taken to lie along the axes of the scan, as on the canvas.

    Raises:
        InputError: the layer is rotated or sheared.
    """
    known = layer.metadata.get("napari_vqad")
    if isinstance(known, Volume) and layer.data.shape == known.voxels.shape[::-1] and _is_placed_as(layer, known):
        return placement.from_canvas(np.asarray(layer.data)) > 0, known.affine
    if not (np.allclose(layer.rotate, np.eye(3)) and np.allclose(layer.shear, 0)):
        raise InputError(f"The layer '{layer.name}' is rotated or sheared; save it on the voxels of the scan.")
    spacing = np.abs(np.asarray(layer.scale, float)[::-1])
    if scan.kind == "head":
        voxels, first = placement.mask_of(layer)
    else:
        voxels, first = placement.from_canvas(np.asarray(layer.data)) > 0, np.asarray(layer.translate, float)[::-1]
    to_frame = VoxelGrid(first, spacing, voxels.shape).to_mm
    return voxels, scan.affine @ np.linalg.inv(scan.frame.to_mm) @ to_frame


def _is_placed_as(layer: Labels, volume: Volume) -> bool:
    """Does a layer still lie where the volume that it was read from lies?"""
    placed = placement.placed_as(volume)
    return np.allclose(layer.scale, placed["scale"]) and np.allclose(layer.translate, placed["translate"])
