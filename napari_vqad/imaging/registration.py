"""Affine alignment of a head to the template, so that a voxel is at the same anatomical place in every scan.

SimpleITK fits twelve parameters by Mattes mutual information of the two brains, coarse to fine. Mutual information
needs no common contrast, and a lesion has little weight among half a million voxels. The fit runs in one thread, so
that the same scan always gives the same alignment.
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

WORKING = 2.0  # mm; finer voxels do not improve the fit
# Dice of brain and template was 0.93 to 0.98 on 128 healthy heads, 0.88 to 0.95 on other scanners and with lesions.
LEAST_OVERLAP = 0.83  # a brain turned face down still overlaps an upright one by 0.81
SCALES = (0.65, 1.55)  # allowed scaling of the template, in any direction
LARGEST_TURN = 45.0  # degrees; if a head is turned further, its header is wrong
REPEATS = 10  # iterations of the match for a brain that the picture cuts


@dataclass(frozen=True)
class Alignment:
    """Affine from the template to a scan.

    Attributes:
        affine: 4×4, template mm → mm of the scan's diagonal frame.
        overlap: Dice of the aligned brain mask and the template's.
        failed: the fit was rejected; `affine` only matches the middle and extent of the brain.
    """

    affine: np.ndarray
    overlap: float
    failed: bool

    @property
    def note(self) -> str:
        """One sentence for the user."""
        if self.failed:
            return "Alignment failed: the brain fits the template badly, and what is normal at a place may mislead."
        return f"Aligned to the template (overlap {self.overlap:.2f})."


def align(volume: Volume, mask: np.ndarray, template: Template) -> Alignment:
    """Fit the template to a scan's brain.

    Args:
        volume: the scan.
        mask: bool (R, A, S), its brain, not empty.
        template: the template.
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
    """Scale grey values to about 0 … 1 within the mask and set zero outside it; float32 (R, A, S)."""
    low, high = np.percentile(volume.voxels[mask], [1, 99])
    return (np.clip((volume.voxels - low) / max(float(high - low), 1e-6), 0, 1.2) * mask).astype(np.float32)


def _working(volume: Volume, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, VoxelGrid]:
    """Resample the brain and its mask to voxels of `WORKING` mm, or of the scan's size where that is larger."""
    brain = brain_alone(volume, mask)
    spacing = np.maximum(volume.spacing, WORKING)
    shape = tuple(int(n) for n in np.ceil(np.array(mask.shape) * volume.spacing / spacing))
    frame = VoxelGrid(volume.origin, spacing, shape)
    parts = (resample_diagonal(a.astype(np.float32), volume.frame, frame, order=1, cval=0.0) for a in (brain, mask))
    brain, inside = parts
    return brain, inside >= 0.5, frame


def moments(inside: np.ndarray, frame: VoxelGrid, template: Template) -> np.ndarray:
    """Compute the affine that matches the mean and SD of the two masks' voxel positions along each axis.

    A brain that the picture cuts is matched with the part of the template that lies in the picture. Since that part
    depends on the affine, the match is iterated.
    """
    if not inside.any():
        return np.eye(4)
    known = np.argwhere(template.mask > 0.5) * template.frame.spacing + template.frame.origin
    seen = np.argwhere(inside) * frame.spacing + frame.origin
    affine = _matched(seen, known)
    if not cut_faces(inside):
        return affine
    # A cut axis does not show the brain's size: start with the scale of the uncut axes, and match the end in view.
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
    """Return the diagonal affine that maps mean and SD of `known`, (n, 3) mm, to those of `seen`, (m, 3) mm."""
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
        if len(ends) == 1:  # the other end is in the picture
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
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the metric uses the global number and sums in thread order
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
    """Compute the Dice overlap of the scan's mask and the template's, on the template's grid within the picture."""
    to_index, shape = np.linalg.inv(frame.to_mm) @ affine @ template.frame.to_mm, template.mask.shape
    seen, known = resample_affine(inside.astype(np.float32), to_index, shape, order=1) >= 0.5, template.mask > 0.5
    if cut_faces(inside):
        known &= resample_affine(np.ones(inside.shape, np.float32), to_index, shape, order=1) >= 0.5
    return float(2 * (seen & known).sum() / max(1, seen.sum() + known.sum()))


def _turned(affine: np.ndarray) -> float:
    """Return the angle, in degrees, of the rotation that is nearest to an affine."""
    u, _, v = np.linalg.svd(affine[:3, :3])
    return float(np.degrees(np.arccos(np.clip((np.trace(u @ v) - 1) / 2, -1, 1))))


def _image(array: np.ndarray, frame: VoxelGrid) -> sitk.Image:
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)).astype(np.float32))
    image.SetOrigin([float(v) for v in frame.origin])
    image.SetSpacing([float(v) for v in frame.spacing])
    return image
