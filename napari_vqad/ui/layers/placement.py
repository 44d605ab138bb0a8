"""Where a voxel is on the canvas: the one place that knows.

A layer's data are the canonical voxels with their axes turned round, (S, A, R), and the world is −(S, A, R) in mm. The
signs are what a reading room expects of napari's default camera: anterior and superior up, and the patient's right on
the left of the picture, in all three planes and with no setting touched.

A clip's canonical axes are (column, row, time): turned round they are (time, row, column), a step of one pixel or frame
along each, and the world is its own, upside up.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from napari.components import Dims

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.volume import Kind, Volume

AXES: dict[Kind, tuple[str, ...]] = {"head": ("−S", "−A", "−R"), "clip": ("time", "row", "column")}
UNITS: dict[Kind, tuple[str, ...]] = {"head": ("mm",) * 3, "clip": ("pixel",) * 3}
GUESS = "napari_vqad_guess"  # in the metadata of another reader's layer: the scan that it is taken for
SIGN: dict[Kind, float] = {"head": -1.0, "clip": 1.0}


def to_canvas(array: np.ndarray) -> np.ndarray:
    """Canonical (R, A, S) → (S, A, R), a view."""
    return array.transpose(2, 1, 0)


def from_canvas(array: np.ndarray) -> np.ndarray:
    """(S, A, R) → canonical (R, A, S), a view."""
    return array.transpose(2, 1, 0)


def placed(origin: np.ndarray, spacing: np.ndarray | float, kind: Kind = "head") -> dict[str, Any]:
    """Arguments that put a layer at an origin (R, A, S, mm) with a spacing. Every layer has them, units too: one
    layer without units would take them from all.
    """
    steps = np.broadcast_to(np.asarray(spacing, float), 3)
    return {
        "scale": tuple(SIGN[kind] * steps[::-1]),
        "translate": tuple(SIGN[kind] * np.asarray(origin, float)[::-1]),
        "units": UNITS[kind],
        "axis_labels": AXES[kind],
    }


def placed_as(volume: Volume) -> dict[str, Any]:
    """Arguments for a layer on a scan's voxels."""
    return placed(volume.origin, volume.spacing, volume.kind)


def placed_on(grid: Grid) -> dict[str, Any]:
    """Arguments for a layer on the voxels where a grid is shown."""
    return placed(grid.view.origin, grid.view.spacing, grid.kind)


def canvas_axis(grid: Grid) -> int:
    """The canvas axis that a grid's slices are stacked along, from the last one (−1): others may have further axes."""
    return -1 - grid.axis


def plane_of(dims: Dims) -> tuple[int, int] | None:
    """Which of a scan's three axes run down and across the canvas, where another layer may have further axes.

    None in 3D, without a scan's axes, and while one of the further axes is shown.
    """
    down_across = tuple(d - (dims.ndim - 3) for d in dims.displayed)
    return down_across if len(down_across) == 2 and dims.ndim >= 3 and min(down_across) >= 0 else None


def in_3d(dims: Dims) -> bool:
    """Are a scan's three axes shown together, in their own order?"""
    return dims.ndisplay == 3 and dims.ndim >= 3 and tuple(dims.displayed) == tuple(range(dims.ndim - 3, dims.ndim))


def slice_at(grid: Grid, point: tuple[float, ...]) -> int:
    """The grid's slice at a point of the world."""
    return grid.slice_of(SIGN[grid.kind] * point[canvas_axis(grid)])


def point_of(grid: Grid, index: int) -> float:
    """World coordinate of a slice along the stacking axis."""
    return SIGN[grid.kind] * grid.slice_mm(index)


def world_of(volume: Volume, mm: tuple[float, float, float]) -> tuple[float, float, float]:
    """Scanner mm (R, A, S) → the point of the world where it is shown: along the axes of an oblique scan, too."""
    index = np.linalg.inv(volume.affine) @ [*mm, 1.0]
    r, a, s = (SIGN[volume.kind] * float(v) for v in (volume.frame.to_mm @ index)[:3])
    return s, a, r


def frame_mm(kind: Kind, point: tuple[float, ...]) -> np.ndarray:
    """A point of the world → mm (R, A, S) in the scan's diagonal frame, the last three of its axes."""
    return SIGN[kind] * np.asarray(point[-3:], float)[::-1]


def with_units(layer: Any) -> None:
    """Give a scan's layer the units of all others: one without, as other readers leave it, takes them from all."""
    layer.units, layer.axis_labels = UNITS[kind_of(layer)], AXES[kind_of(layer)]


def kind_of(layer: Any) -> Kind:
    """What an image layer shows; what other readers made is taken for a head."""
    known = layer.metadata.get("napari_vqad")
    return known.kind if isinstance(known, Volume) else "head"


def is_scan_of(layer: Any, volume: Volume) -> bool:
    """Does an image layer show this very scan? Not where other data were put into it since."""
    if layer.metadata.get("napari_vqad") is not volume or "napari_vqad_grid" in layer.metadata:
        return False
    shown, voxels = layer.data, to_canvas(volume.voxels)
    if shown is volume.voxels or np.may_share_memory(shown, voxels):
        return tuple(shown.shape) == voxels.shape
    return np.array_equal(shown, voxels)


def may_be_scan(layer: Any) -> bool:
    """Can an image layer be shown as a scan: as it was read, or as an array in memory with three axes?"""
    if isinstance(layer.metadata.get("napari_vqad"), Volume):
        return "napari_vqad_grid" not in layer.metadata
    return layer.ndim == 3 and not layer.rgb and isinstance(layer.data, np.ndarray)


def volume_of(layer: Any) -> Volume:
    """The scan of an image layer: as it was read, or made of data, scale and translate of another reader's layer.

    Layers of other readers are taken as (z, y, x) with the signs of their scale; napari knows no more of them. Which
    sides these are is a guess, which is kept with the layer as long as its data and its place stay.
    """
    known = layer.metadata.get("napari_vqad")
    if isinstance(known, Volume) and is_scan_of(layer, known):
        return known
    if isinstance(known, Volume) and layer.data.shape == known.voxels.shape[::-1]:
        voxels, note = from_canvas(np.asarray(layer.data, np.float32)), "Its data were replaced in napari."
        # Where it lies is still known; it is no more what its file holds.
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
    """A Labels layer as bool (R, A, S), true where it is not zero, and the mm (R, A, S) of its first voxel.

    Ours have negative steps; a layer that was made with napari's own button has positive ones and is turned round.
    """
    array, step = from_canvas(np.asarray(layer.data)) > 0, np.asarray(layer.scale, float)[::-1]
    turned = tuple(int(a) for a in np.flatnonzero(step > 0))
    first = np.asarray(layer.translate, float)[::-1] + np.where(step > 0, step * (np.array(array.shape) - 1), 0.0)
    return np.flip(array, turned), -first
