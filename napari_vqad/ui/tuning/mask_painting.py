"""Painting the mask of an anomaly in a Labels layer."""

from __future__ import annotations

import numpy as np
from napari.layers import Labels
from napari.viewer import Viewer

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.mask_input import given_mask

NAME = "Painted anomaly"


class MaskPainting:
    """The layer that the user paints in; None while nobody paints."""

    def __init__(self, viewer: Viewer) -> None:
        self.viewer = viewer
        self.layer: Labels | None = None

    def begin(self, volume: Volume, radius_mm: float) -> None:
        """Add an empty layer on a scan's voxels, with a brush of a radius."""
        empty = placement.to_canvas(np.zeros(volume.voxels.shape, np.uint8))
        layer = self.layer = Labels(empty, name=NAME, **placement.placed_as(volume))
        self.viewer.layers.append(layer)
        self.viewer.layers.selection.active = layer
        layer.brush_size = max(1, round(2 * radius_mm / float(volume.spacing.mean())))
        if self.viewer.dims.ndisplay == 2:
            layer.mode = "paint"

    def mask(self, volume: Volume) -> np.ndarray:
        """What was painted, bool (R, A, S).

        Raises:
            InputError: the layer was removed, or does not lie on the scan's voxels any more, or is empty.
        """
        if self.layer is None or self.layer not in self.viewer.layers:
            self.layer = None
            raise InputError("The layer with the painted mask was removed; nothing was changed.")
        mask, _ = given_mask(self.layer, volume)
        if not mask.any():
            raise InputError(f"The layer '{self.layer.name}' is empty; paint on the picture, then use the mask.")
        return mask

    def end(self) -> None:
        """Remove the layer."""
        layer, self.layer = self.layer, None
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
