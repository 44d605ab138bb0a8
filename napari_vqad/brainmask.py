"""The brain mask of a scan that comes without one, and where it came from.

A whole T1 head goes through a small network trained on healthy heads. What is skull-stripped already, or what the
network makes no sense of, is masked by Otsu's threshold and morphology.
"""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage
from skimage.filters import threshold_otsu

from napari_vqad.bundle import load_weights
from napari_vqad.errors import InputError
from napari_vqad.nets.unet3d import UNet3d
from napari_vqad.paths import models_folder
from napari_vqad.volume import Volume

SPACING = 4.0  # mm, of the network's grid
SIDES = (56, 64, 64)  # its size along R, A, S: 224 × 256 × 256 mm
PLAUSIBLE = (700.0, 2300.0)  # mL, brains of adults with room on both sides
BRIDGE = 4.0  # mm; half as wide as the thinnest part of a brain that may hold its parts together
# The rim of a brain is 0.2 to 0.27 of it, on held-out heads, other scanners and FLAIR; noise, an inverted head, a head
# upside down or a neck alone leave 0.3 to 0.5 undecided.
UNSURE = 0.29


def make_mask(volume: Volume) -> tuple[np.ndarray, str]:
    """Mask the brain; of a clip, all of each frame.

    Returns:
        bool (R, A, S) on the scan's voxels, and one sentence on where it came from.

    Raises:
        InputError: nothing stands out from the background.
    """
    if volume.kind == "clip":
        return np.ones(volume.voxels.shape, bool), "All of each frame is analysed."
    background = background_of(volume.voxels)
    if background is not None:
        brain = beyond_background(volume.voxels, background)
        # A whole head with its picture padded is surrounded by a constant as well, but no brain is as large.
        if 0 < _millilitres(brain, volume) <= PLAUSIBLE[1]:
            return brain, "Brain mask: the voxels of the scan that are not background, since it is skull-stripped."
    foreground = _foreground(volume.voxels)
    if not foreground.any():
        raise InputError(f"{volume.name} has nothing that stands out from its background; give a mask.")
    brain, unsure = network_mask(volume)
    ml, head_ml = _millilitres(brain, volume), _millilitres(foreground, volume)
    if PLAUSIBLE[0] <= ml <= min(PLAUSIBLE[1], 0.9 * head_ml) and unsure < UNSURE:
        return brain, f"Brain mask made by the bundled network for T1 heads ({ml:.0f} mL)."
    return foreground, "Brain mask by Otsu's threshold and morphology: the scan does not look like a whole T1 head."


def background_of(voxels: np.ndarray) -> float | None:
    """The one value that surrounds a skull-stripped brain; None where there is a head, with air and a neck.

    Around a stripped brain the faces of the picture hold one constant. A head whose background was set to a constant
    too still reaches the lowest face, where the neck is cut.
    """
    faces = [f for a in range(3) for f in (voxels.take(0, a), voxels.take(-1, a))]
    values, counts = np.unique(np.concatenate([f.ravel() for f in faces]), return_counts=True)
    background = values[np.argmax(counts)]
    alike, lowest = counts.max() / counts.sum(), np.mean(voxels[:, :, 0] == background)
    return float(background) if alike > 0.95 and lowest > 0.98 else None


def beyond_background(voxels: np.ndarray, background: float) -> np.ndarray:
    """What differs from a skull-stripped scan's background, CSF included: largest piece, holes filled."""
    bright = np.percentile(voxels[voxels != background], 95)
    # Two percent leave out the ringing of interpolation around a brain.
    differs = np.abs(voxels - background) > 0.02 * abs(bright - background)
    piece = _largest(ndimage.binary_opening(differs))
    return ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(piece, 3), iterations=2)[3:-3, 3:-3, 3:-3])


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
    undecided, inside = int((np.abs(logits) < np.log(9)).sum()), int((logits > 0).sum())
    step = volume.spacing / SPACING
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
    neck they hold.

    Returns:
        float32 `SIDES`, and the grid's first voxel in units of its own spacing from the scan's first voxel.
    """
    step = SPACING / volume.spacing
    sigma = np.sqrt(np.maximum(step**2 - 1, 0)) / 2.355
    smooth = ndimage.gaussian_filter(volume.voxels, sigma, mode="nearest")
    bounds = [np.flatnonzero(_foreground(smooth).any(tuple(b for b in range(3) if b != a))) for a in range(3)]
    centre = [
        0.5 * (b[0] + b[-1]) / s if len(b) else 0.5 * n / s for b, s, n in zip(bounds, step, smooth.shape, strict=True)
    ]
    top = (bounds[2][-1] if len(bounds[2]) else smooth.shape[2] - 1) / step[2]
    offset = np.array([centre[0] - SIDES[0] / 2, centre[1] - SIDES[1] / 2, top - (SIDES[2] - 4)])
    box = ndimage.affine_transform(smooth, step, offset=offset * step, output_shape=SIDES, order=1, mode="nearest")
    inside = np.ones(smooth.shape, np.float32)
    known = ndimage.affine_transform(inside, step, offset=offset * step, output_shape=SIDES, order=0, cval=0.0) > 0
    return normalise(np.where(known, box, np.percentile(smooth, 1))), offset


def normalise(box: np.ndarray) -> np.ndarray:
    """Zero mean and unit SD after the brightest thousandth is cut off."""
    box = np.minimum(box, np.percentile(box, 99.9))
    return ((box - box.mean()) / max(float(box.std()), 1e-6)).astype(np.float32)


@lru_cache(maxsize=1)
def bundled_network() -> UNet3d:
    """The network that comes along, loaded once."""
    folder = models_folder() / "brainmask-t1"
    network = UNet3d(tuple(json.loads((folder / "config.json").read_text())["channels"]))
    load_weights(network, folder / "mask.safetensors")
    return network


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
