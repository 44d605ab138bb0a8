"""Make the template: the mean brain of healthy heads, which are aligned to it in several rounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.intensity import bias_gain, grey_range, harmonise, medians
from napari_vqad.imaging.registration import align, brain_alone, moments
from napari_vqad.imaging.resample import resample_affine
from napari_vqad.imaging.template import BANDS, Template
from napari_vqad.imaging.volume import Volume

ROUNDS = 3
MARGIN = 3  # voxels between the mean brain and the edge of the grid, for larger brains
Scan = tuple[Volume, np.ndarray]


def make_template(scans: list[Scan], spec: GridSpec, n_slices: int, report: Callable[[str], None] = print) -> Template:
    """Compute the symmetric mean of healthy brains on the grid of a model.

    Args:
        scans: healthy heads with their brain masks, bool (R, A, S).
        spec: in-plane size and spacing.
        n_slices: number of slices of the template.
        report: called with a line after each round.
    """
    shape = (*spec.shape, n_slices)
    blank = Template(np.zeros(shape), _ellipsoid(shape), spec.spacing, np.zeros(len(BANDS) - 1), 0.0, 1.0)
    affines = [moments(mask, volume.frame, blank) for volume, mask in scans]
    template = _mean(scans, affines, blank)
    for number in range(ROUNDS):
        affines = [align(volume, mask, template).affine for volume, mask in scans]
        # Mutual information with a blurred mean favours slightly smaller brains. The mean size is therefore kept fixed.
        scale = np.exp(np.mean([np.log(np.linalg.det(a[:3, :3])) for a in affines]) / 3)
        affines = [a @ np.diag([1 / scale, 1 / scale, 1 / scale, 1]) for a in affines]
        template = _mean(scans, affines, template)
        report(f"template: round {number + 1} of {ROUNDS}")
    fit = _to_fill(template)
    template = _mean(scans, [a @ fit for a in affines], template)
    return _with_intensity(scans, template)


def _ellipsoid(shape: tuple[int, ...]) -> np.ndarray:
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return (x**2 + y**2 + z**2 < 0.9).astype(np.float32)


def _mean(scans: list[Scan], affines: list[np.ndarray], like: Template) -> Template:
    """Average intensity and brain mask over the heads, and over left and right."""
    total = share = np.zeros(like.voxels.shape, np.float32)
    for (volume, mask), affine in zip(scans, affines, strict=True):
        to_index = np.linalg.inv(volume.frame.to_mm) @ affine @ like.frame.to_mm
        total = total + resample_affine(brain_alone(volume, mask), to_index, total.shape, order=1)
        share = share + resample_affine(mask.astype(np.float32), to_index, total.shape, order=1)
    voxels, inside = total / len(scans), share / len(scans)
    return replace(like, voxels=(voxels + voxels[::-1]) / 2, mask=(inside + inside[::-1]) / 2)


def _to_fill(template: Template) -> np.ndarray:
    """Return the affine (4×4, mm of the new template → mm of the old) that centres the brain and fills the grid."""
    frame = template.frame
    inside = np.argwhere(template.mask > 0.5)
    low, high = inside.min(0) * frame.spacing + frame.origin, inside.max(0) * frame.spacing + frame.origin
    room = (np.array(frame.shape) - 1 - 2 * MARGIN) * frame.spacing
    fit = np.diag([*np.full(3, np.max((high - low) / room)), 1.0])
    fit[1:3, 3] = ((low + high) / 2)[1:]  # left and right are symmetric already
    return fit


def _with_intensity(scans: list[Scan], template: Template) -> Template:
    """Add the healthy medians in the template's bands, then mean and SD of the scans harmonised with them."""
    on_grid = []
    for volume, mask in scans:
        to_index = np.linalg.inv(volume.frame.to_mm) @ align(volume, mask, template).affine @ template.frame.to_mm
        share = resample_affine(mask.astype(np.float32), to_index, template.voxels.shape, order=1)
        voxels = resample_affine(volume.voxels * mask, to_index, template.voxels.shape, order=1) / np.maximum(
            share, 0.5
        )
        on_grid.append((voxels.astype(np.float32), share >= 0.5))
    marks = []
    for voxels, mask in on_grid:
        low, scale = grey_range(voxels[mask])
        positive = (voxels - low) / scale
        marks.append(medians(positive * bias_gain(positive, mask, template), mask, template))
    template = replace(template, marks=np.mean(marks, 0), mean=0.0, sd=1.0)
    inside = np.concatenate([harmonise(v, m, template).z(v)[m] for v, m in on_grid])
    return replace(template, mean=float(inside.mean()), sd=float(inside.std()))
