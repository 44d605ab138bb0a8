"""The brain mask of a scan that comes without one, and where it came from.

A whole T1 head goes through a small network trained on healthy heads. What is skull-stripped already, or what the
network makes no sense of, is masked by Otsu's threshold and morphology.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_vqad.errors import InputError
from napari_vqad.files.jsonfile import read_json, validated
from napari_vqad.imaging.field_of_view import cut_faces
from napari_vqad.imaging.volume import Volume
from napari_vqad.nets.unet3d import UNet3d
from napari_vqad.nets.weights import load_weights
from napari_vqad.resources import models_folder

SPACING = 4.0  # mm, of the network's grid
SIDES = (56, 64, 64)  # its size along R, A, S: 224 × 256 × 256 mm
PLAUSIBLE = (250.0, 2300.0)  # mL, from a newborn's brain to the largest of an adult, with room on both sides
# Of a skull-stripped brain the network, which knows whole heads, takes 0.58 to 0.81, and next to nothing is dark below
# its surface (0 to 0.06, on 20 brains and slabs). Of a whole head the brain is 0.27 to 0.49, of the top of one up to
# 0.63, and the skull is dark (0.1 to 0.26, on other scanners from 0.01).
STRIPPED = 0.53
SKULL_MM = (3.0, 12.0)  # below the skin
SURROUNDED = 0.75  # share of the picture's faces that hold background around a stripped brain, cut on one side or not
BRIDGE = 4.0  # mm; half as wide as the thinnest part of a brain that may hold its parts together
# The rim of a brain is 0.2 to 0.27 of it, on held-out heads, other scanners and FLAIR; noise, an inverted head, a head
# upside down or a neck alone leave 0.3 to 0.5 undecided.
UNSURE = 0.29
# A face of the picture cuts the head when this share of its largest cross-section lies there; ears and noses are less.
CUT = 0.1
NECK = (2, False)  # every picture of a head ends at the neck, and the network was trained on such
MISSING_TOP = 60.0  # mm of head that a picture without the top is taken to lack; right for 15 to 75 mm


class NetworkConfig(BaseModel):
    """`config.json` of a network for brain masks; it works on the one grid that is known here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    channels: tuple[Annotated[int, Field(ge=4, le=256, multiple_of=4)], ...] = Field(min_length=2, max_length=4)
    spacing: Annotated[float, Field(ge=SPACING, le=SPACING)]
    sides: tuple[int, int, int]

    @field_validator("sides")
    @classmethod
    def _known(cls, sides: tuple[int, int, int]) -> tuple[int, int, int]:
        if sides != SIDES:
            raise ValueError(f"the sides are {SIDES}")
        return sides


class BrainMask(NamedTuple):
    """A brain mask and its origin.

    Attributes:
        voxels: bool (R, A, S) on the scan's canonical voxels, True within the brain.
        note: how the mask was made, a sentence.
    """

    voxels: np.ndarray
    note: str


def make_mask(volume: Volume) -> BrainMask:
    """Mask the brain of a head scan; the mask of a clip covers all of each frame.

    Raises:
        InputError: nothing stands out from the background.
    """
    if volume.kind == "clip":
        return BrainMask(np.ones(volume.voxels.shape, bool), "All of each frame is analysed.")
    foreground = _foreground(volume.voxels)
    background = background_of(volume.voxels)
    stripped = beyond_background(volume.voxels, background) if background else np.zeros_like(foreground)
    if not (foreground.any() or stripped.any()):
        raise InputError(f"{volume.name} has nothing that stands out from its background; give a mask.")
    brain, unsure = network_mask(volume)
    ml = _millilitres(brain, volume)
    plausible = PLAUSIBLE[0] <= _millilitres(stripped, volume) <= PLAUSIBLE[1]
    if background and plausible and not _has_skull(volume, stripped, background.level, brain):
        note = "Brain mask: the voxels of the scan that are not background, since it is skull-stripped."
        return BrainMask(stripped, note)
    if PLAUSIBLE[0] <= ml <= PLAUSIBLE[1] and unsure < UNSURE:
        return BrainMask(brain, f"Brain mask made by the bundled network for T1 heads ({ml:.0f} mL).")
    note = "Brain mask by Otsu's threshold and morphology: the scan does not look like a whole T1 head."
    return BrainMask(foreground, note)


def _has_skull(volume: Volume, piece: np.ndarray, level: float, brain: np.ndarray) -> bool:
    """Is what stands out from the background, bool (R, A, S), a head with its skull, and not a brain alone?

    Args:
        piece: bool (R, A, S), what `beyond_background` finds.
        level: of the background.
        brain: bool (R, A, S), what the network takes for brain.
    """
    depth = ndimage.distance_transform_edt(np.pad(piece, 1, mode="edge"), sampling=volume.spacing)[1:-1, 1:-1, 1:-1]
    shell = piece & (depth > SKULL_MM[0]) & (depth < SKULL_MM[1])
    grey = np.abs(volume.voxels - level)
    dark = float(np.mean(grey[shell] < 0.1 * np.percentile(grey[piece], 95))) if shell.any() else 0.0
    return brain.sum() / piece.sum() - 2 * dark < STRIPPED


class Background(NamedTuple):
    """What surrounds a head or a brain: grey values of about `level`, give or take `tolerance`."""

    level: float
    tolerance: float


def background_of(voxels: np.ndarray) -> Background | None:
    """What surrounds the head or brain in the picture; None where the faces of the picture hold no such value.

    Interpolation, lossy export and noise leave no background exactly constant, so nothing is compared for equality.
    """
    faces = np.concatenate([f.ravel() for a in range(3) for f in (voxels.take(0, a), voxels.take(-1, a))])
    level = float(np.median(faces))
    far = np.abs(voxels - level)
    # Two percent of the brain's grey values leave out the ringing of interpolation around a brain.
    fine = 0.02 * float(np.percentile(far, 99.5))
    noise = 6 * 1.4826 * float(np.median(np.abs(faces - level)))
    tolerance = max(fine, min(noise, 5 * fine))
    if not fine > 0 or np.mean(np.abs(faces - level) <= tolerance) < SURROUNDED:
        return None
    return Background(level, tolerance)


def beyond_background(voxels: np.ndarray, background: Background) -> np.ndarray:
    """What differs from a skull-stripped scan's background, CSF included: largest piece, holes filled."""
    grey = np.abs(voxels - background.level)
    differs = grey > background.tolerance
    piece = _largest(ndimage.binary_opening(np.pad(differs, 3)))
    piece = ndimage.binary_fill_holes(ndimage.binary_closing(piece, iterations=2))[3:-3, 3:-3, 3:-3]
    # Interpolation leaves a rim that is darker than CSF, which is about 0.15 in T1.
    rim = piece & ~ndimage.binary_erosion(piece, border_value=1)
    return piece & ~(rim & (grey < 0.1 * np.percentile(grey[piece], 95))) if piece.any() else piece


def network_mask(volume: Volume, network: UNet3d | None = None) -> tuple[np.ndarray, float]:
    """What a network, the bundled one by default, takes for brain.

    Returns:
        bool (R, A, S), largest piece, holes filled; and how unsure the network is: the volume where it gives the brain
        a probability between 0.1 and 0.9, as a share of the brain's.
    """
    box, offset = to_network_grid(volume)
    network = network or bundled_network()
    with torch.inference_mode():
        logits = network(torch.from_numpy(box)[None, None])[0, 0].numpy()
    step = volume.spacing / SPACING
    seen = _known(volume.voxels.shape, 1 / step, offset)  # what lies beyond the picture is of no interest
    undecided, inside = int((seen & (np.abs(logits) < np.log(9))).sum()), int((seen & (logits > 0)).sum())
    logits = ndimage.affine_transform(
        logits, step, offset=-offset, output_shape=volume.voxels.shape, order=1, mode="constant", cval=-20.0
    )
    brain = without_islands(_largest(logits > 0), volume.spacing)
    return _largest(ndimage.binary_fill_holes(brain)), undecided / max(inside, 1)


def without_islands(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """A mask without what hangs on it by a thin bridge, such as fat and muscle below the skull.

    An opening by a ball of `BRIDGE` mm cuts bridges that are thinner than twice that; the largest piece stays, with all
    of the mask that lies near it. Where the picture ends nothing is cut.

    Args:
        mask: bool (R, A, S).
        spacing: mm of a voxel, (3,).
    """
    core = _largest(ndimage.distance_transform_edt(mask, sampling=spacing) > BRIDGE)
    if not core.any():  # nothing of it is thicker
        return mask
    near = ndimage.distance_transform_edt(~core, sampling=spacing) <= BRIDGE + float(np.linalg.norm(spacing))
    return mask & near


def to_network_grid(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """The scan on the network's grid, scaled to zero mean and unit SD, and where the grid begins.

    The grid is centred on the head across, and laid from the head's top downwards: scans differ most in how much
    neck they hold. Beyond the picture there is air, but beyond a face that cuts the head its last voxels go on: the
    network knows whole heads, and takes a brain that ends at once for something else.

    Returns:
        float32 `SIDES`, and the grid's first voxel in units of its own spacing from the scan's first voxel.
    """
    step = SPACING / volume.spacing
    sigma = np.sqrt(np.maximum(step**2 - 1, 0)) / 2.355
    smooth = ndimage.gaussian_filter(volume.voxels, sigma, mode="nearest")
    head = _foreground(smooth)
    cut = [face for face in cut_faces(head, CUT) if face != NECK]
    bounds = [np.flatnonzero(head.any(tuple(b for b in range(3) if b != a))) for a in range(3)]
    centre = [
        0.5 * (b[0] + b[-1]) / s if len(b) else 0.5 * n / s for b, s, n in zip(bounds, step, smooth.shape, strict=True)
    ]
    top = (bounds[2][-1] if len(bounds[2]) else smooth.shape[2] - 1) / step[2]
    if (2, True) in cut:
        top += MISSING_TOP / SPACING
    offset = np.array([centre[0] - SIDES[0] / 2, centre[1] - SIDES[1] / 2, top - (SIDES[2] - 4)])
    box = ndimage.affine_transform(smooth, step, offset=offset * step, output_shape=SIDES, order=1, mode="nearest")
    return normalise(np.where(_known(smooth.shape, step, offset, cut), box, np.percentile(smooth, 1))), offset


def _known(
    shape: tuple[int, ...], step: np.ndarray, offset: np.ndarray, cut: Sequence[tuple[int, bool]] = ()
) -> np.ndarray:
    """bool `SIDES`: voxels of the network's grid that lie in the picture, or beyond one of its `cut` faces."""
    of_axes = []
    for axis, (n, size) in enumerate(zip(shape, SIDES, strict=True)):
        inside = np.ones(n, np.float32)
        along = {"offset": offset[axis] * step[axis], "output_shape": (size,), "order": 0, "cval": 0.0}
        known = ndimage.affine_transform(inside, step[axis : axis + 1], **along) > 0
        index = (np.arange(size) + offset[axis]) * step[axis]
        known |= (index < 0) & ((axis, False) in cut) | (index > n - 1) & ((axis, True) in cut)
        of_axes.append(known)
    x, y, z = of_axes
    return x[:, None, None] & y[:, None] & z


def normalise(box: np.ndarray) -> np.ndarray:
    """Zero mean and unit SD after the brightest thousandth is cut off."""
    box = np.minimum(box, np.percentile(box, 99.9))
    return ((box - box.mean()) / max(float(box.std()), 1e-6)).astype(np.float32)


@lru_cache(maxsize=1)
def bundled_network() -> UNet3d:
    """The network that comes along, loaded once."""
    return load_network(models_folder() / "brainmask-t1")


def load_network(folder: Path) -> UNet3d:
    """A network for brain masks: `config.json` and `mask.safetensors`.

    Raises:
        InputError: a file is missing, or does not fit.
    """
    path = folder / "config.json"
    config = validated(NetworkConfig, read_json(path, "is missing from the brain mask network"), path)
    return load_weights(UNet3d(config.channels), folder / "mask.safetensors")


def _foreground(voxels: np.ndarray) -> np.ndarray:
    """Otsu's threshold, opened, largest piece, closed and filled."""
    low, high = np.percentile(voxels, (1, 99.5))
    if not high > low:
        return np.zeros(voxels.shape, bool)
    bright = voxels > 0.6 * (threshold_otsu(np.clip(voxels, low, high)) - low) + low
    piece = _largest(ndimage.binary_opening(bright))
    return ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(piece, 3), iterations=2)[3:-3, 3:-3, 3:-3])


def _largest(mask: np.ndarray) -> np.ndarray:
    pieces, n = ndimage.label(mask)
    return pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if n else mask


def _millilitres(mask: np.ndarray, volume: Volume) -> float:
    return float(mask.sum() * np.prod(volume.spacing) / 1000)
