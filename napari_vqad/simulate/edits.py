"""Edits that put anomalies into a scan. A list of edits gives the same voxels whenever it is replayed on the scan.

With `old` the grey values before an edit, h its shape, B the brain and G_σ a Gaussian blur of σ mm (the softness):

    w     = G_σ ∗ [h ∩ B] within B, 0 elsewhere
    new   = (1 − w) old + w changed

What the kinds change, with mean and SD of the brain's grey values in the original scan, and intensity I:

    constant          changed = mean + I · SD
    additive          changed = old + I · SD
    sink, source      see `simulate.discs` (Meissen et al. 2022), with p = 1 (the paper) or p = 2 (the authors' code)
    shuffle           the voxels of h ∩ B in a random order, drawn from the seed
    patch             changed[v] = old[v + d], d the way from the anomaly's centre to the patch's, in whole voxels;
                      from another scan, its value there, with mean and SD of its brain matched to this one's

A disc lies in one plane of the scan, with a thickness; each of its slices is changed as a picture of its own.
The label is h ∩ B.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_vqad.errors import InputError
from napari_vqad.imaging.resample import VoxelGrid
from napari_vqad.imaging.volume import EditedFrom, Volume
from napari_vqad.simulate.anomalies import blend
from napari_vqad.simulate.discs import TEXTURES, Disc, shuffle
from napari_vqad.simulate.recipe import Edit, ForeignScan, Painted, Recipe, Round

REACH = 1.1  # radii; a sink takes voxels from up to 1.09 radii away (p = 2)
TAIL = 4.0  # SD, where scipy cuts a Gaussian
WARNING = "It is not the patient's scan."


def replay(
    volume: Volume, brain: NDArray[np.bool_], recipe: Recipe, foreign: Mapping[str, Volume] | None = None
) -> Volume:
    """Put the anomalies of a recipe into a scan.

    Args:
        volume: the scan as it was read.
        brain: bool (R, A, S), its brain mask; nothing is changed outside.
        recipe: the edits.
        foreign: the other scans that patches come from, by their SHA-256.

    Returns:
        the edited scan, whose `edited` has the label: for each voxel the number of the last edit that covers it;
        without edits the scan itself.

    Raises:
        InputError: an anomaly lies outside the scan or the brain, or the scan of a patch is missing.
    """
    if not recipe.edits:
        return volume
    voxels, label = volume.voxels.copy(), np.zeros(volume.voxels.shape, np.uint8)
    for number, edit in enumerate(recipe.edits, start=1):
        box, inside = _shape(edit, volume, brain)
        sigma = edit.softness_mm / volume.spacing
        if isinstance(edit.shape, Round) and edit.shape.form == "disc":
            sigma[edit.shape.axis] = 0
        weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma, truncate=TAIL) * brain[box]
        changed = _changed(edit, voxels, box, inside, volume, recipe, foreign or {})
        voxels[box] = blend(voxels[box], weight, changed)
        label[box][inside] = number
    lines = tuple(f"{i}. {edit.in_words(recipe.grey)}" for i, edit in enumerate(recipe.edits, start=1))
    origin = EditedFrom(volume, recipe, lines, label)
    notes = (*volume.notes, f"{origin.headline}. {WARNING}")
    name = f"{volume.name} (edited)"
    return replace(volume, voxels=voxels, name=name, path=None, notes=notes, edited=origin)


def index_of(frame: VoxelGrid, mm: tuple[float, float, float]) -> NDArray:
    """Convert mm (R, A, S) of the scan's diagonal frame to a voxel index, with fractions."""
    return (np.array(mm) - frame.origin) / frame.spacing


def check_place(volume: Volume, brain: NDArray[np.bool_] | None, mm: tuple[float, float, float], what: str) -> None:
    """Check that a point, mm (R, A, S), lies in the scan and, if a brain mask is given, in the brain.

    Raises:
        InputError: it does not.
    """
    at = np.rint(index_of(volume.frame, mm)).astype(int)
    if (at < 0).any() or (at >= volume.voxels.shape).any():
        raise InputError(f"{what} would lie outside the scan; nothing was changed. Choose a place inside the brain.")
    if brain is not None and not brain[tuple(at)]:
        raise InputError(f"{what} would lie outside the brain mask; nothing was changed. Choose a place inside it.")


Box = tuple[slice, slice, slice]


def _shape(edit: Edit, volume: Volume, brain: NDArray[np.bool_]) -> tuple[Box, NDArray[np.bool_]]:
    """Return a box of voxels that holds all that the edit reads and changes, and h ∩ B within it."""
    shape, margin = edit.shape, TAIL * edit.softness_mm / volume.spacing + 1
    if isinstance(shape, Painted):
        low, size = np.array(shape.low), np.array(shape.size)
        if (low + size > brain.shape).any():
            raise InputError("The painted mask lies outside the scan; nothing was changed.")
        drawn = np.zeros(brain.shape, bool)
        drawn[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))] = shape.voxels()
        box = _box(low - margin, low + size - 1 + margin, brain.shape)
        inside = (drawn & brain)[box]
    else:
        check_place(volume, brain, shape.centre, "The anomaly")
        centre = index_of(volume.frame, shape.centre)
        reach = REACH * shape.radius_mm / volume.spacing + margin
        box = _box(centre - reach, centre + reach, brain.shape)
        inside = np.zeros(brain[box].shape, bool)
        for part, disc in _discs(shape, volume, box):
            inside[part] = disc.pixels(brain[box][part])
    if not inside.any():
        raise InputError("The anomaly has no voxel in the brain; nothing was changed.")
    return box, inside


def _box(low: NDArray, high: NDArray, shape: tuple[int, ...]) -> Box:
    first = np.maximum(np.floor(low), 0).astype(int)
    first -= first % 2  # halves round to the even index; so they round alike in the box and in the scan
    last = np.minimum(np.ceil(high), np.array(shape) - 1).astype(int)
    return (slice(first[0], last[0] + 1), slice(first[1], last[1] + 1), slice(first[2], last[2] + 1))


def _discs(shape: Round, volume: Volume, box: Box) -> Iterator[tuple[tuple, Disc]]:
    """Yield the part of a box that a ball fills, or each slice of a disc, and the ball or disc in its indices."""
    spacing = volume.spacing
    centre = index_of(volume.frame, shape.centre) - [side.start for side in box]
    if shape.form == "ball":
        yield (slice(None),) * 3, Disc(tuple(centre.tolist()), shape.radius_mm, tuple(spacing.tolist()))
        return
    a = shape.axis
    disc = Disc(tuple(np.delete(centre, a).tolist()), shape.radius_mm, tuple(np.delete(spacing, a).tolist()))
    nearest, half = round(centre[a]), shape.thickness_mm / 2 / spacing[a]
    for k in range(box[a].stop - box[a].start):
        if k == nearest or abs(k - centre[a]) <= half:
            part: list = [slice(None)] * 3
            part[a] = k
            yield tuple(part), disc


def _changed(
    edit: Edit,
    voxels: NDArray,
    box: Box,
    inside: NDArray[np.bool_],
    volume: Volume,
    recipe: Recipe,
    foreign: Mapping[str, Volume],
) -> NDArray | float:
    """Return `changed` of the module's equations, within the box."""
    old, grey, rng = voxels[box], recipe.grey, np.random.default_rng(edit.seed)
    if edit.kind == "constant":
        return grey.mean + edit.intensity * grey.sd
    if edit.kind == "additive":
        return old + np.float32(edit.intensity * grey.sd)
    if edit.kind == "patch":
        return _patch(edit, voxels, box, volume, recipe, foreign)
    if isinstance(edit.shape, Painted):
        return shuffle(old, inside, rng)
    changed = old.copy()
    for part, disc in _discs(edit.shape, volume, box):
        changed[part] = TEXTURES[edit.kind](old[part], disc, inside[part], edit.exponent, rng)
    return changed


def _patch(
    edit: Edit, voxels: NDArray, box: Box, volume: Volume, recipe: Recipe, foreign: Mapping[str, Volume]
) -> NDArray:
    assert isinstance(edit.shape, Round)
    assert edit.taken_from is not None
    away = np.array(edit.taken_from) - edit.shape.centre  # mm
    index = np.stack(np.meshgrid(*(np.arange(b.start, b.stop) for b in box), indexing="ij"))
    if edit.scan is None:
        at = index + np.rint(away / volume.spacing).reshape(3, 1, 1, 1)
        return ndimage.map_coordinates(voxels, at, order=0, mode="nearest")
    if (other := foreign.get(edit.scan.sha256)) is None:
        raise InputError(f"The scan {edit.scan.name}, which a patch comes from, is not open; open it first.")
    mm = index * volume.spacing.reshape(3, 1, 1, 1) + (volume.origin + away).reshape(3, 1, 1, 1)
    at = (mm - other.origin.reshape(3, 1, 1, 1)) / other.spacing.reshape(3, 1, 1, 1)
    values = ndimage.map_coordinates(other.voxels, at, order=1, mode="nearest")
    theirs, ours = edit.scan.grey, recipe.grey
    return ((values - theirs.mean) / theirs.sd * ours.sd + ours.mean).astype(np.float32)


def scans_of(recipe: Recipe) -> list[ForeignScan]:
    """List the other scans that patches of a recipe come from."""
    return list({edit.scan.sha256: edit.scan for edit in recipe.edits if edit.scan is not None}.values())
