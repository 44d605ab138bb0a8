"""Affine alignment of a head to the template: after it, a place means the same in every scan.

Twelve parameters, Mattes mutual information of the two brains, coarse to fine (SimpleITK). Mutual information asks for
no common contrast, and half a million voxels outvote a lesion. One thread, so that a scan is always laid alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813  # the field's name for it
from scipy import ndimage

from napari_vqad.imaging.field_of_view import cut_faces
from napari_vqad.imaging.resample import VoxelGrid, resample_affine, resample_diagonal
from napari_vqad.imaging.template import Template
from napari_vqad.imaging.volume import Volume

WORKING = 2.0  # mm; finer scans gain nothing here
# Dice of brain and template was 0.93 to 0.98 on 128 healthy heads, 0.88 to 0.95 on other scanners and with lesions.
LEAST_OVERLAP = 0.83  # a brain that lies on its face fits a head that looks ahead by 0.81
SCALES = (0.65, 1.55)  # of the template's axes, in any direction
LARGEST_TURN = 45.0  # degrees; a head that is turned further does not lie as its header says
REPEATS = 10  # of the match of a brain that the picture cuts


@dataclass(frozen=True)
class Alignment:
    """Where the template's points lie in a scan.

    Attributes:
        affine: 4×4, template mm → mm of the scan's diagonal frame.
        overlap: Dice of the aligned brain mask and the template's.
        failed: the fit was of no use, and `affine` only brings middle and extent of the brain together.
    """

    affine: np.ndarray
    overlap: float
    failed: bool

    @property
    def note(self) -> str:
        """One sentence for the person."""
        if self.failed:
            return "Alignment failed: the brain fits the template badly, and what is normal at a place may mislead."
        return f"Aligned to the template (overlap {self.overlap:.2f})."


def align(volume: Volume, mask: np.ndarray, template: Template) -> Alignment:
    """Fit the template to a scan's brain.

    Args:
        volume: the scan.
        mask: bool (R, A, S), its brain, not empty.
        template: what to align to.
    """
    brain, inside, frame = _working(volume, mask)
    start = moments(inside, frame, template)
    fitted, overlap = start, _overlap(inside, frame, template, start)
    failed = False
    try:
        found = _register(brain, frame, template, start)
    except RuntimeError:  # no overlap, or a brain without contrast
        failed = True
    else:
        stretch = np.linalg.svd(found[:3, :3], compute_uv=False)
        reached = _overlap(inside, frame, template, found)
        failed = reached < LEAST_OVERLAP or stretch[0] > SCALES[1] or stretch[-1] < SCALES[0]
        failed = bool(failed or np.linalg.det(found[:3, :3]) <= 0 or _turned(found) > LARGEST_TURN)
        if not failed:
            fitted, overlap = found, reached
    return Alignment(fitted, overlap, failed)


def brain_alone(volume: Volume, mask: np.ndarray) -> np.ndarray:
    """Grey values between about 0 and 1 within the mask, zero around it, float32 (R, A, S)."""
    low, high = np.percentile(volume.voxels[mask], [1, 99])
    return (np.clip((volume.voxels - low) / max(float(high - low), 1e-6), 0, 1.2) * mask).astype(np.float32)


def _working(volume: Volume, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, VoxelGrid]:
    """The brain alone and its mask, on voxels of about `WORKING` mm."""
    brain = brain_alone(volume, mask)
    spacing = np.maximum(volume.spacing, WORKING)
    shape = tuple(int(n) for n in np.ceil(np.array(mask.shape) * volume.spacing / spacing))
    frame = VoxelGrid(volume.origin, spacing, shape)
    parts = (resample_diagonal(a.astype(np.float32), volume.frame, frame, order=1, cval=0.0) for a in (brain, mask))
    brain, inside = parts
    return brain, inside >= 0.5, frame


def moments(inside: np.ndarray, frame: VoxelGrid, template: Template) -> np.ndarray:
    """The affine that matches middle and spread along each axis, from the masks alone.

    A brain that the picture cuts is matched with the part of the template that lies in the picture; since that depends
    on the affine, the match is repeated.
    """
    if not inside.any():
        return np.eye(4)
    known = np.argwhere(template.mask > 0.5) * template.frame.spacing + template.frame.origin
    seen = np.argwhere(inside) * frame.spacing + frame.origin
    affine = _matched(seen, known)
    if not cut_faces(inside):
        return affine
    # A cut axis says nothing of the brain's size; begin with the size along the others, and with the end that is there.
    affine = _begun_at_the_whole_end(affine, inside, seen, known)
    low, high = frame.origin - frame.spacing / 2, frame.origin + frame.spacing * (np.array(frame.shape) - 0.5)
    for _ in range(REPEATS):
        placed = known @ affine[:3, :3].T + affine[:3, 3]
        in_picture = ((placed >= low) & (placed <= high)).all(1)
        if in_picture.sum() < 100:
            break
        affine = _matched(seen, known[in_picture])
    return affine


def _matched(seen: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The diagonal affine that takes middle and spread of `known`, (n, 3) mm, to those of `seen`, (m, 3) mm."""
    scale = np.clip(np.maximum(seen.std(0), 1e-3) / np.maximum(known.std(0), 1e-3), *SCALES)
    affine = np.diag([*scale, 1.0])
    affine[:3, 3] = seen.mean(0) - scale * known.mean(0)
    return affine


def _begun_at_the_whole_end(affine: np.ndarray, inside: np.ndarray, seen: np.ndarray, known: np.ndarray) -> np.ndarray:
    cut = cut_faces(inside)
    axes = {axis for axis, _ in cut}
    whole = [a for a in range(3) if a not in axes]
    affine = affine.copy()
    for axis in axes:
        if whole:
            affine[axis, axis] = np.mean([affine[a, a] for a in whole])
        scale, ends = affine[axis, axis], {upper for a, upper in cut if a == axis}
        if len(ends) == 1:  # the other end is there
            end = np.min if True in ends else np.max
            affine[axis, 3] = end(seen[:, axis]) - scale * end(known[:, axis])
    return affine


def _register(brain: np.ndarray, frame: VoxelGrid, template: Template, start: np.ndarray) -> np.ndarray:
    near = ndimage.binary_dilation(template.mask > 0.5, iterations=3)
    middle = template.frame.to_mm @ [*((np.array(near.shape) - 1) / 2), 1.0]
    moving = sitk.AffineTransform(3)
    moving.SetCenter(middle[:3].tolist())
    moving.SetMatrix(start[:3, :3].ravel().tolist())
    moving.SetTranslation((start @ middle - middle)[:3].tolist())

    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel([0.5, 0.2], 1)
    method.SetMetricFixedMask(sitk.Cast(_image(near, template.frame), sitk.sitkUInt8))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.01, 60, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([3, 1.5])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(moving, True)
    threads = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the metric asks for these, and sums in their order
    try:
        method.Execute(_image(template.voxels * (template.mask > 0), template.frame), _image(brain, frame))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)

    affine = np.eye(4)
    affine[:3, :3] = np.array(moving.GetMatrix()).reshape(3, 3)
    centre, shift = np.array(moving.GetCenter()), np.array(moving.GetTranslation())
    affine[:3, 3] = centre + shift - affine[:3, :3] @ centre
    return affine


def _overlap(inside: np.ndarray, frame: VoxelGrid, template: Template, affine: np.ndarray) -> float:
    """Dice of the scan's mask, seen from the template, and the template's, where the picture has data."""
    to_index, shape = np.linalg.inv(frame.to_mm) @ affine @ template.frame.to_mm, template.mask.shape
    seen, known = resample_affine(inside.astype(np.float32), to_index, shape, order=1) >= 0.5, template.mask > 0.5
    if cut_faces(inside):
        known &= resample_affine(np.ones(inside.shape, np.float32), to_index, shape, order=1) >= 0.5
    return float(2 * (seen & known).sum() / max(1, seen.sum() + known.sum()))


def _turned(affine: np.ndarray) -> float:
    """Degrees by which an affine turns the head: the angle of the rotation that is nearest to it."""
    u, _, v = np.linalg.svd(affine[:3, :3])
    return float(np.degrees(np.arccos(np.clip((np.trace(u @ v) - 1) / 2, -1, 1))))


def _image(array: np.ndarray, frame: VoxelGrid) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)).astype(np.float32))
    image.SetOrigin([float(v) for v in frame.origin])
    image.SetSpacing([float(v) for v in frame.spacing])
    return image
