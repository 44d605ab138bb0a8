"""Computes a brain mask for a scan that has none, and notes the method used.

A small network trained on healthy heads masks a whole T1 head. In a skull-stripped scan, all voxels that differ from
the background are masked. Otsu's threshold and morphology mask scans on which the network fails.
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

SPACING = 4.0  # mm, voxel size of the network's grid
SIDES = (56, 64, 64)  # size of the grid along R, A, S: 224 × 256 × 256 mm
PLAUSIBLE = (250.0, 2300.0)  # mL, from a newborn's brain to the largest adult brain, with a margin on both sides
# The network was trained on whole heads. Of a skull-stripped brain it marks 0.58 to 0.81 as brain, and almost nothing
# below the surface is dark (share 0 to 0.06, on 20 brains and slabs). Of a whole head it marks 0.27 to 0.49, of the
# top of a head up to 0.63, and the skull is dark (share 0.1 to 0.26, from 0.01 on other scanners).
STRIPPED = 0.53
SKULL_MM = (3.0, 12.0)  # below the skin
SURROUNDED = 0.75  # least share of background on the picture's faces, also if one side cuts the stripped brain
BRIDGE = 4.0  # mm; half the width of the thinnest part that may connect two parts of a brain
# The undecided rim of a brain is 0.2 to 0.27 of its volume on held-out heads, other scanners and FLAIR. On noise, an
# inverted head, a head upside down or a neck alone, 0.3 to 0.5 is undecided.
UNSURE = 0.29
# A face cuts the head if this share of the head's largest cross-section lies on it; ears and noses stay below.
CUT = 0.1
NECK = (2, False)  # every head scan ends at the neck, also those that the network was trained on
MISSING_TOP = 60.0  # mm of head assumed to be missing if the picture cuts the top; works for 15 to 75 mm


class NetworkConfig(BaseModel):
    """`config.json` of a brain mask network; only the grid of this module is supported."""

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
        note: one sentence on how the mask was computed.
    """

    voxels: np.ndarray
    note: str


def make_mask(volume: Volume) -> BrainMask:
    """Mask the brain of a head scan; the mask of a clip covers all of each frame.

    Raises:
        InputError: the scan has no foreground.
    """
    if volume.kind == "clip":
        return BrainMask(np.ones(volume.voxels.shape, bool), "All of each frame is analysed.")
    if volume.measurements is not None:
        return _of_diffusion(volume)
    background = background_of(volume.voxels)
    stripped = beyond_background(volume.voxels, background) if background else np.zeros(volume.voxels.shape, bool)
    if not (stripped.any() or _foreground(volume.voxels).any()):
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
    return BrainMask(_foreground(volume.voxels), note)


def _of_diffusion(volume: Volume) -> BrainMask:
    """Mask the brain of a diffusion scan by dipy's median_otsu of its mean without diffusion weighting.

    Raises:
        InputError: nothing stands out from the background.
    """
    try:
        from dipy.segment.mask import median_otsu
    except ImportError:
        brain, how = (
            _foreground(volume.voxels),
            "Otsu's threshold and morphology; dipy, whose median_otsu is better here",
        )
        how += ", is not installed (pip install 'napari-vqad[diffusion]')"
    else:
        # dipy's defaults, a median of four voxels in four passes, are for voxels of 2 mm.
        radius = int(np.clip(round(8 / volume.spacing.mean()), 1, 4))
        brain, how = median_otsu(volume.voxels, median_radius=radius, numpass=2)[1].astype(bool), "dipy's median_otsu"
    brain = brain & (volume.voxels > 0)  # in a skull-stripped scan, the rim of a smooth mask has no signal
    if not brain.any():
        raise InputError(f"{volume.name} has nothing that stands out from its background; give a mask.")
    return BrainMask(brain, f"Brain mask of the mean image without diffusion weighting by {how}.")


def _has_skull(volume: Volume, piece: np.ndarray, level: float, brain: np.ndarray) -> bool:
    """Say whether the foreground is a head with its skull, rather than a skull-stripped brain.

    Args:
        volume: the scan.
        piece: bool (R, A, S), the foreground, from `beyond_background`.
        level: grey value of the background.
        brain: bool (R, A, S), the network's brain mask.
    """
    depth = _depth(np.pad(piece, 1, mode="edge"), volume.spacing)[1:-1, 1:-1, 1:-1]
    shell = piece & (depth > SKULL_MM[0]) & (depth < SKULL_MM[1])
    grey = np.abs(volume.voxels - level)
    dark = float(np.mean(grey[shell] < 0.1 * np.percentile(grey[piece], 95))) if shell.any() else 0.0
    return brain.sum() / piece.sum() - 2 * dark < STRIPPED


class Background(NamedTuple):
    """Grey values of the background around a head or brain: `level` ± `tolerance`."""

    level: float
    tolerance: float


def background_of(voxels: np.ndarray) -> Background | None:
    """Estimate the background from the faces of the picture; None if too few of their voxels share one grey value.

    Interpolation, lossy export and noise make the background vary slightly, so a tolerance is needed.
    """
    faces = np.concatenate([f.ravel() for a in range(3) for f in (voxels.take(0, a), voxels.take(-1, a))])
    level = float(np.median(faces))
    far = np.abs(voxels - level)
    # Two percent of the brain's grey values exclude interpolation ringing around the brain.
    fine = 0.02 * float(np.percentile(far, 99.5))
    noise = 6 * 1.4826 * float(np.median(np.abs(faces - level)))
    tolerance = max(fine, min(noise, 5 * fine))
    if not fine > 0 or np.mean(np.abs(faces - level) <= tolerance) < SURROUNDED:
        return None
    return Background(level, tolerance)


def beyond_background(voxels: np.ndarray, background: Background) -> np.ndarray:
    """Mask the voxels that differ from the background, CSF included: largest component, holes filled."""
    grey = np.abs(voxels - background.level)
    differs = grey > background.tolerance
    piece = _largest(ndimage.binary_opening(np.pad(differs, 3)))
    piece = ndimage.binary_fill_holes(ndimage.binary_closing(piece, iterations=2))[3:-3, 3:-3, 3:-3]
    # Interpolation leaves a rim darker than CSF; CSF is about 0.15 in T1.
    rim = piece & ~ndimage.binary_erosion(piece, border_value=1)
    return piece & ~(rim & (grey < 0.1 * np.percentile(grey[piece], 95))) if piece.any() else piece


def network_mask(volume: Volume, network: UNet3d | None = None) -> tuple[np.ndarray, float]:
    """Mask the brain with a network, by default the bundled one.

    Returns:
        bool (R, A, S), largest component, holes filled; and how unsure the network is: the volume with a brain
        probability between 0.1 and 0.9, divided by the brain volume.
    """
    box, offset = to_network_grid(volume)
    network = network or bundled_network()
    with torch.inference_mode():
        logits = network(torch.from_numpy(box)[None, None])[0, 0].numpy()
    step = volume.spacing / SPACING
    seen = _known(volume.voxels.shape, 1 / step, offset)  # voxels beyond the picture do not count
    undecided, inside = int((seen & (np.abs(logits) < np.log(9))).sum()), int((seen & (logits > 0)).sum())
    logits = ndimage.affine_transform(
        logits, step, offset=-offset, output_shape=volume.voxels.shape, order=1, mode="constant", cval=-20.0
    )
    brain = without_islands(_largest(logits > 0), volume.spacing)
    return _largest(ndimage.binary_fill_holes(brain)), undecided / max(inside, 1)


def without_islands(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Remove parts of a mask that only a thin bridge connects, such as fat and muscle below the skull.

    An erosion by `BRIDGE` mm cuts bridges thinner than twice that. The largest component is kept, with all mask voxels
    near it. The faces of the picture do not erode the mask.

    Args:
        mask: bool (R, A, S).
        spacing: voxel size in mm, (3,).
    """
    box = _around(mask)
    part = mask[box]
    core = _largest(_depth(part, spacing) > BRIDGE)
    if not core.any():  # the whole mask is thinner than that
        return mask
    near = ndimage.distance_transform_edt(~core, sampling=spacing) <= BRIDGE + float(np.linalg.norm(spacing))
    kept = np.zeros_like(mask)
    kept[box] = part & near
    return kept


def to_network_grid(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Resample a scan to the network's grid, scaled to zero mean and unit SD.

    The grid is centred on the head along R and A and starts at the head's top along S, since scans differ most in how
    much neck they include. Beyond the picture the grid is filled with air. Beyond a face that cuts the head, the last
    voxels are repeated instead: the network was trained on whole heads and does not recognise a brain that ends
    abruptly.

    Returns:
        float32 `SIDES`, and the position of the grid's first voxel relative to the scan's, in units of `SPACING`.
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
    """Mask, bool `SIDES`, the grid voxels that lie in the picture or beyond one of its `cut` faces."""
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
    """Clip the brightest 0.1% and scale to zero mean and unit SD."""
    box = np.minimum(box, np.percentile(box, 99.9))
    return ((box - box.mean()) / max(float(box.std()), 1e-6)).astype(np.float32)


@lru_cache(maxsize=1)
def bundled_network() -> UNet3d:
    """Return the bundled network, loaded once."""
    return load_network(models_folder() / "brainmask-t1")


def load_network(folder: Path) -> UNet3d:
    """Load a brain mask network from `config.json` and `mask.safetensors`.

    Raises:
        InputError: a file is missing or invalid.
    """
    path = folder / "config.json"
    config = validated(NetworkConfig, read_json(path, "is missing from the brain mask network"), path)
    return load_weights(UNet3d(config.channels), folder / "mask.safetensors")


def _foreground(voxels: np.ndarray) -> np.ndarray:
    """Mask the head: 0.6 × Otsu's threshold, opening, largest component, closing, holes filled."""
    low, high = np.percentile(voxels, (1, 99.5))
    if not high > low:
        return np.zeros(voxels.shape, bool)
    bright = voxels > 0.6 * (threshold_otsu(np.clip(voxels, low, high)) - low) + low
    piece = _largest(ndimage.binary_opening(bright))
    return ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(piece, 3), iterations=2)[3:-3, 3:-3, 3:-3])


def _depth(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Compute the distance of each voxel of a mask from the nearest one outside it, in mm; zero outside."""
    depth, box = np.zeros(mask.shape), _around(mask)
    depth[box] = ndimage.distance_transform_edt(mask[box], sampling=spacing)
    return depth


def _around(mask: np.ndarray) -> tuple[slice, ...]:
    """Return the box of a mask and one voxel more on each side: no voxel outside is nearer to it than that border."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    whole = found[0] if found else (slice(0, n) for n in mask.shape)
    return tuple(slice(max(0, s.start - 1), min(n, s.stop + 1)) for s, n in zip(whole, mask.shape, strict=True))


def _largest(mask: np.ndarray) -> np.ndarray:
    pieces, n = ndimage.label(mask)
    return pieces == 1 + np.argmax(np.bincount(pieces[mask])[1:]) if n else mask


def _millilitres(mask: np.ndarray, volume: Volume) -> float:
    return float(mask.sum() * np.prod(volume.spacing) / 1000)
