"""Cut a layer in any plane: a picture of the slice and its position in the world, in mm."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from napari.layers import Image, Labels
from qtpy.QtCore import QRectF
from qtpy.QtGui import QImage


class Section(NamedTuple):
    """A picture whose rows and columns follow the world's axes, and its rectangle in the world: across and down, mm."""

    image: QImage
    world: QRectF


def reslice(layer: Image | Labels, axis: int, at: float) -> Section | None:
    """The slice of a 3D layer, perpendicular to a world axis, in the colours of the canvas.

    The layer must have a diagonal affine. None if the layer is not 3D or does not extend to this position. Labels are
    drawn as outlines, as on the canvas.
    """
    scale, first, data = np.asarray(layer.scale)[-3:], np.asarray(layer.translate)[-3:], np.asarray(layer.data)
    index = round(float((at - first[axis]) / scale[axis]))
    if data.ndim != 3 or not 0 <= index < data.shape[axis]:
        return None
    rows, columns = (a for a in range(3) if a != axis)
    plane = data[tuple(index if a == axis else slice(None) for a in range(3))]  # a view; `take` would copy
    low = [first[a] + min(0.0, scale[a] * (data.shape[a] - 1)) - abs(scale[a]) / 2 for a in (rows, columns)]
    size = [abs(scale[a]) * data.shape[a] for a in (rows, columns)]
    plane = plane[:: 1 if scale[rows] > 0 else -1, :: 1 if scale[columns] > 0 else -1]
    world = QRectF(low[1], low[0], size[1], size[0])
    return Section(_outlined(plane, layer) if isinstance(layer, Labels) else _coloured(plane, layer), world)


def _coloured(plane: np.ndarray, layer: Image) -> QImage:
    low, high = layer.contrast_limits
    level = np.clip((plane - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    table = layer.colormap.map(np.linspace(0, 1, 256))
    return _image((255 * np.asarray(table)).astype(np.uint8)[level], layer.opacity)


def _outlined(plane: np.ndarray, layer: Labels) -> QImage:
    around = np.pad(plane, 1)
    beside = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    rim = (plane > 0) & np.any([n != plane for n in beside], axis=0)
    pixels = np.zeros((*plane.shape, 4), np.uint8)
    if rim.any():
        colour = layer.get_color(int(plane.max()))
        pixels[rim] = (255 * np.asarray(colour)).astype(np.uint8)
    return _image(pixels, layer.opacity)


def _image(pixels: np.ndarray, opacity: float = 1.0) -> QImage:
    if opacity < 1:
        pixels[..., 3] = (pixels[..., 3] * opacity).astype(np.uint8)
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    # A copy: Qt keeps no reference to the array's memory.
    return QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()
