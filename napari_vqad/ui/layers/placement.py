"""Conversion between voxels and napari's world coordinates. No other module does this.

A layer's data are the canonical voxels with reversed axes, (S, A, R), and the world is −(S, A, R) in mm. With these
signs napari's default camera shows anterior and superior up, and the patient's right on the left of the picture, in all
three planes.

A clip's canonical axes are (column, row, time). Its layers have the axes (time, row, column), one pixel or frame per
step, and its world has the same axes with positive signs, so that frames are upright.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import Dims

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.measurements import Measurements
from napari_vqad.imaging.volume import Kind, Volume

AXES: dict[Kind, tuple[str, ...]] = {"head": ("−S", "−A", "−R"), "clip": ("time", "row", "column")}
UNITS: dict[Kind, tuple[str, ...]] = {"head": ("mm",) * 3, "clip": ("pixel",) * 3}
GUESS = "napari_vqad_guess"  # in the metadata of another reader's layer: the `Volume` made from it
MEASUREMENTS = "napari_vqad_measurements"  # in the metadata of the layer of a scan's diffusion measurements: the scan
SIGN: dict[Kind, float] = {"head": -1.0, "clip": 1.0}


def to_canvas(array: np.ndarray) -> np.ndarray:
    """Canonical (R, A, S) → (S, A, R), a view."""
    return array.transpose(2, 1, 0)


def from_canvas(array: np.ndarray) -> np.ndarray:
    """(S, A, R) → canonical (R, A, S), a view."""
    return array.transpose(2, 1, 0)


def placed(origin: np.ndarray, spacing: np.ndarray | float, kind: Kind = "head") -> dict[str, Any]:
    """Arguments that place a layer at an origin (R, A, S, mm) with a spacing.

    They include units, because one layer without units would remove the units of all layers.
    """
    steps = np.broadcast_to(np.asarray(spacing, float), 3)
    return {
        "scale": tuple(SIGN[kind] * steps[::-1]),
        "translate": tuple(SIGN[kind] * np.asarray(origin, float)[::-1]),
        "units": UNITS[kind],
        "axis_labels": AXES[kind],
    }


def placed_as(volume: Volume) -> dict[str, Any]:
    """Arguments that place a layer on a scan's voxels."""
    return placed(volume.origin, volume.spacing, volume.kind)


def placed_measurements(volume: Volume) -> dict[str, Any]:
    """Arguments that place a diffusion scan's measurements, (measurement, S, A, R), on its voxels."""
    three = placed_as(volume)
    return {
        "scale": (1.0, *three["scale"]),
        "translate": (0.0, *three["translate"]),
        "units": ("pixel", *three["units"]),
        "axis_labels": ("measurement", *three["axis_labels"]),
    }


def is_measurements(layer: Any) -> bool:
    """Is this the layer of a diffusion scan's measurements, which is no scan?"""
    return MEASUREMENTS in layer.metadata


def measurements_of(layer: Any) -> Measurements | None:
    """The diffusion measurements of a scan's layer; None for other scans, and for layers of other readers."""
    known = layer.metadata.get("napari_vqad")
    return known.measurements if isinstance(known, Volume) else None


def placed_on(grid: Grid) -> dict[str, Any]:
    """Arguments that place a layer on the voxels of a grid's view."""
    return placed(grid.view.origin, grid.view.spacing, grid.kind)


def canvas_axis(grid: Grid) -> int:
    """The canvas axis that a grid's slices are stacked along, counted from the last (−1): layers may have more axes."""
    return -1 - grid.axis


def plane_of(dims: Dims) -> tuple[int, int] | None:
    """Which of a scan's three axes run down and across the canvas; other layers may add leading axes.

    None in 3D, if there are fewer than three axes, and while a leading axis is shown.
    """
    down_across = tuple(d - (dims.ndim - 3) for d in dims.displayed)
    return down_across if len(down_across) == 2 and dims.ndim >= 3 and min(down_across) >= 0 else None


def in_3d(dims: Dims) -> bool:
    """Does the canvas show a scan's three axes in 3D, in their usual order?"""
    return dims.ndisplay == 3 and dims.ndim >= 3 and tuple(dims.displayed) == tuple(range(dims.ndim - 3, dims.ndim))


def slice_at(grid: Grid, point: tuple[float, ...]) -> int:
    """The grid's slice at a world point."""
    return grid.slice_of(SIGN[grid.kind] * point[canvas_axis(grid)])


def point_of(grid: Grid, index: int) -> float:
    """The world coordinate of a slice along the stacking axis."""
    return SIGN[grid.kind] * grid.slice_mm(index)


def world_of(volume: Volume, mm: tuple[float, float, float]) -> tuple[float, float, float]:
    """Scanner mm (R, A, S) → world point (S, A, R order) where the canvas shows it, for oblique scans, too."""
    index = np.linalg.inv(volume.affine) @ [*mm, 1.0]
    r, a, s = (SIGN[volume.kind] * float(v) for v in (volume.frame.to_mm @ index)[:3])
    return s, a, r


def frame_mm(kind: Kind, point: tuple[float, ...]) -> np.ndarray:
    """A world point → mm (R, A, S) in the scan's diagonal frame. Only its last three coordinates are used."""
    return SIGN[kind] * np.asarray(point[-3:], float)[::-1]


def with_units(layer: Any) -> None:
    """Set units and axis labels of a scan's layer. A layer of another reader without units removes them from all."""
    layer.units, layer.axis_labels = UNITS[kind_of(layer)], AXES[kind_of(layer)]


def kind_of(layer: Any) -> Kind:
    """The kind of scan of an image layer; layers of other readers count as heads."""
    known = layer.metadata.get("napari_vqad")
    return known.kind if isinstance(known, Volume) else "head"


def is_scan_of(layer: Any, volume: Volume) -> bool:
    """Does an image layer show this scan? False if its data were replaced."""
    if layer.metadata.get("napari_vqad") is not volume or "napari_vqad_grid" in layer.metadata:
        return False
    shown, voxels = layer.data, to_canvas(volume.voxels)
    if shown is volume.voxels or np.may_share_memory(shown, voxels):
        return tuple(shown.shape) == voxels.shape
    return np.array_equal(shown, voxels)


def may_be_scan(layer: Any) -> bool:
    """Can an image layer be a scan? True if we read it as one, or if it is a 3D array in memory."""
    if isinstance(layer.metadata.get("napari_vqad"), Volume):
        return "napari_vqad_grid" not in layer.metadata
    return layer.ndim == 3 and not layer.rgb and isinstance(layer.data, np.ndarray)


def volume_of(layer: Any) -> Volume:
    """The scan of an image layer: as it was read, or made from data, scale and translate of another reader's layer.

    A layer of another reader is assumed to be (z, y, x) with the signs of its scale; napari knows no more. The sides
    are therefore a guess. The volume is stored in the layer's metadata until data, name, scale or translate change.
    """
    known = layer.metadata.get("napari_vqad")
    if isinstance(known, Volume) and is_scan_of(layer, known):
        return known
    if isinstance(known, Volume) and layer.data.shape == known.voxels.shape[::-1]:
        voxels, note = from_canvas(np.asarray(layer.data, np.float32)), "Its data were replaced in napari."
        # Its position is still known, but it no longer equals its file.
        return replace(known, voxels=voxels, name=layer.name, path=None, header=None, notes=(*known.notes, note))
    scale, translate = np.asarray(layer.scale, float), np.asarray(layer.translate, float)
    made_of = (id(layer.data), layer.name, *scale, *translate)
    before, volume = layer.metadata.get(GUESS, (None, None))
    if before != made_of:
        volume = _guessed(layer, scale, translate)
        layer.metadata[GUESS] = made_of, volume
    return volume


def _guessed(layer: Any, scale: np.ndarray, translate: np.ndarray) -> Volume:
    affine = np.diag([*-scale[::-1], 1.0])
    affine[:3, 3] = -translate[::-1]
    guess = "It was opened by another reader: which side is right is assumed, and may be wrong."
    array = from_canvas(np.asarray(layer.data, np.float32))
    return Volume.from_array(array, affine, name=layer.name, notes=(guess,), side_known=False)


def mask_of(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """A Labels layer as bool (R, A, S), true where it is above zero, and the mm (R, A, S) of its first voxel.

    Our layers have negative steps. A layer made with napari's own button has positive steps and is flipped.
    """
    array, step = from_canvas(np.asarray(layer.data)) > 0, np.asarray(layer.scale, float)[::-1]
    flipped = tuple(int(a) for a in np.flatnonzero(step > 0))
    first = np.asarray(layer.translate, float)[::-1] + np.where(step > 0, step * (np.array(array.shape) - 1), 0.0)
    return np.flip(array, flipped), -first
