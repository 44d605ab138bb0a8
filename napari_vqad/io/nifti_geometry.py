"""Determines voxel positions from a NIfTI header, which may contradict itself.

A header states geometry in four fields: sform (an affine), qform (a rotation, with the voxel size in pixdim), pixdim
and the unit of length. If another than the first is used, a note tells the user. The rules are those that ITK, FSL and
nibabel share; where these differ, we choose the rule that avoids a wrong side or a wrong size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.quaternions import quat2mat
from numpy.typing import NDArray

from napari_vqad.errors import InputError

UNITS = {1: (1000.0, "metres"), 2: (1.0, "millimetres"), 3: (0.001, "micrometres")}  # by NIfTI's code
HEAD = (50.0, 1500.0)  # mm, plausible longest side of the picture, from a small field of view to a whole body
ALIKE = 0.03  # voxel sizes agree if they differ by less than this share
LONGEST = 1.05  # longest quaternion that may exceed 1 by rounding
TEMPLATE = 3  # from this sform code on, the affine maps to template space, not to the scanner


@dataclass(frozen=True)
class Geometry:
    """Geometry of a NIfTI file.

    Attributes:
        file_affine: 4×4, voxel index of the file → the unit of length, from the chosen form.
        mm: millimetres per unit of length.
        side_known: False if the header does not say which side is right, or contradicts itself.
        notes: guesses that were made, in sentences for the user.
        stated: every affine, 4×4 to mm, that a program may read from this header; ours is the first.
    """

    file_affine: NDArray
    mm: float
    side_known: bool = True
    notes: tuple[str, ...] = ()
    stated: tuple[NDArray, ...] = ()


@dataclass(frozen=True)
class _Form:
    """An affine and its name."""

    words: str
    affine: NDArray

    @property
    def size(self) -> NDArray:
        """Voxel size, in the header's unit."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)

    def extent(self, shape: Sequence[int]) -> float:
        """The longest side of the picture, in the header's unit."""
        return float((self.size * shape).max())


def geometry_of(header: nib.Nifti1Header, shape: Sequence[int], path: Path) -> Geometry:
    """Choose the usable geometry of a header.

    * The sform is used, as in FSL and nibabel. The qform is used if the sform is unusable (zeros, NaN), or if its voxel
      size differs from pixdim, as after registration to a template.
    * If neither is set, the voxel size is pixdim's, and the side is unknown.
    * If the size is implausible for a head in the header's unit, a unit that makes it plausible is used.

    Args:
        header: as it is in the file, not repaired.
        shape: number of voxels along the three axes.
        path: the file, for messages.

    Raises:
        InputError: sform and qform contradict each other about left and right, or the header has no usable geometry.
    """
    sform, qform = _sform(header), _qform(header)
    notes: list[str] = []
    side_known = True
    if sform and qform:
        side_known, said = _compare_directions(sform.affine, qform.affine, path)
        notes += said
    if not (sform or qform):
        forms = [_pixdim_form(header, shape, path)]
        side_known = False
        notes.append("The header does not say how the head lies; left and right may be swapped.")
    else:
        forms = _by_preference(sform, qform, header)
    form, mm = _plausible(forms, shape, header)
    if form is qform and header["pixdim"][1:4].min() < 0:  # some readers take this for a flip
        side_known = False
        notes.append("The header gives a negative voxel size; its sign was dropped, and left and right may be swapped.")
    if form is qform and not sform and header["sform_code"] > 0:
        notes.append("The header's sform is not usable (it holds zeros or no numbers); the qform was taken instead.")
    other = next((f for f in forms if f is not form and not _agree(f.size, form.size)), None)
    if other:
        notes.append(
            f"The header gives two voxel sizes, {_words(form.size * mm)} mm ({form.words}) and "
            f"{_words(other.size * mm)} mm ({other.words}); the {form.words} was taken, and volumes depend on it."
        )
    notes += _unit_note(form, mm, shape, header)
    stated = [form.affine, *(f.affine for f in forms if f is not form)]
    if not (sform or qform):
        stated.append(np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.diag([*form.size, 1.0]))  # as ITK reads it
    scale = np.diag([mm, mm, mm, 1.0])
    return Geometry(form.affine, mm, side_known, tuple(notes), tuple(scale @ affine for affine in stated))


def _sform(header: nib.Nifti1Header) -> _Form | None:
    """Return the sform; None if it is not set or not usable."""
    affine = np.eye(4)
    affine[:3] = [header["srow_x"], header["srow_y"], header["srow_z"]]
    return _Form("sform", affine) if header["sform_code"] > 0 and _usable(affine) else None


def _qform(header: nib.Nifti1Header) -> _Form | None:
    """Return the qform; None if it is not set or not usable.

    A quaternion that is longer than 1 by rounding is scaled to 1, a rotation by 180°, as in ITK. The sign of a negative
    pixdim is dropped; only the sign of pixdim[0] is used.
    """
    bcd = np.array([header["quatern_b"], header["quatern_c"], header["quatern_d"]], float)
    square = float(bcd @ bcd)
    size = _pixdim(header)
    if header["qform_code"] <= 0 or size is None or not square <= LONGEST**2:
        return None
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([np.sqrt(max(0.0, 1 - square)), *bcd]) * size
    if header["pixdim"][0] < 0:
        affine[:3, 2] *= -1
    affine[:3, 3] = [header["qoffset_x"], header["qoffset_y"], header["qoffset_z"]]
    return _Form("qform", affine) if _usable(affine) else None


def _pixdim(header: nib.Nifti1Header) -> NDArray | None:
    """Return the three voxel sizes; None if one of them is zero or not finite."""
    size = np.abs(np.array(header["pixdim"][1:4], float))
    return size if np.isfinite(size).all() and size.min() > 0 else None


def _pixdim_form(header: nib.Nifti1Header, shape: Sequence[int], path: Path) -> _Form:
    """Make an affine from the voxel size alone, as nibabel does: the first axis runs to the left, the centre is 0 mm.

    Raises:
        InputError: there is no voxel size, or sform or qform is set but unusable.
    """
    if header["sform_code"] > 0 or header["qform_code"] > 0:
        raise InputError(f"{path} has an affine that does not say where its voxels are.")
    size = _pixdim(header)
    if size is None:
        raise InputError(
            f"{path} does not say how large its voxels are (pixdim holds zeros, sform and qform are not set), and a "
            "head cannot be measured without; write the voxel size into the header, for example with fslchpixdim."
        )
    affine = np.diag([-size[0], size[1], size[2], 1.0])
    affine[:3, 3] = -np.diag(affine)[:3] * (np.array(shape) - 1) / 2
    return _Form("pixdim", affine)


def _compare_directions(sform: NDArray, qform: NDArray, path: Path) -> tuple[bool, list[str]]:
    """Compare the orientation of sform and qform; return whether the side is known, and notes for the user.

    Raises:
        InputError: one is the mirror image of the other, or they disagree about left and right.
    """
    turn = _directions(sform) @ _directions(qform).T
    if np.linalg.det(turn) < 0 or turn[0, 0] < -0.5:
        raise InputError(
            f"{path} says two things about left and right, one in its sform and another in its qform, so that the "
            "patient's side is unknown; find out which of the two is right and set the code of the other to 0, for "
            "example with fslorient -setqformcode 0."
        )
    angle = float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))
    if angle < 45:
        return True, []
    known = bool(turn[0, 0] > 0.7)
    return known, [
        f"The header's sform and qform turn the head differently, by {angle:.0f}°; check that the letters are right"
        + ("." if known else ", above all left and right.")
    ]


def _directions(affine: NDArray) -> NDArray:
    """Return the rotation or reflection nearest to an affine, without its voxel size."""
    left, _, right = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    return left @ right


def _by_preference(sform: _Form | None, qform: _Form | None, header: nib.Nifti1Header) -> list[_Form]:
    """List the usable forms, the preferred one first."""
    if sform and qform:  # the qform's voxel size is pixdim
        return [sform, qform] if _agree(sform.size, qform.size) else [qform, sform]
    if not sform:
        return [qform] if qform else []
    size = _pixdim(header)
    if size is None or _agree(size, sform.size):
        return [sform]
    resized = sform.affine.copy()
    resized[:3, :3] *= size / sform.size
    pixdim = _Form("pixdim", resized)  # as ITK reads it
    # A template's affine scales the head to the template's size. Programs that use only affines leave a pixdim of
    # 1×1×1.
    stretched = header["sform_code"] >= TEMPLATE and not (size == 1).all()
    return [pixdim, sform] if stretched else [sform, pixdim]


def _plausible(forms: list[_Form], shape: Sequence[int], header: nib.Nifti1Header) -> tuple[_Form, float]:
    """Return the first form and unit with a plausible size for a head; the header's unit is tried first.

    If none is plausible, the first form and the header's unit are returned. Units differ by a factor of 1000, so at
    most one of them fits a form.
    """
    own = _unit(header)[0]
    for mm in (own, *(mm for mm, _ in UNITS.values() if mm != own)):
        for form in forms:
            if HEAD[0] <= form.extent(shape) * mm <= HEAD[1]:
                return form, mm
    return forms[0], own


def _unit(header: nib.Nifti1Header) -> tuple[float, str]:
    """Return millimetres per unit of length in the header, and the unit's name; millimetres if no unit is given."""
    return UNITS.get(int(header["xyzt_units"]) & 7, UNITS[2])  # the upper bits hold the unit of time


def _unit_note(form: _Form, mm: float, shape: Sequence[int], header: nib.Nifti1Header) -> list[str]:
    own, name = _unit(header)
    length = f"{form.extent(shape) * own:.3g} mm"
    if mm != own:
        taken = next(words for factor, words in UNITS.values() if factor == mm)
        return [f"In the header's {name} the picture would be {length} long; its numbers were taken for {taken}."]
    if own == 1 or HEAD[0] <= form.extent(shape) * mm <= HEAD[1]:
        return []
    return [f"In the header's {name} the picture is {length} long; no other unit makes a head of it."]


def _agree(one: NDArray, other: NDArray) -> bool:
    return bool(np.abs(np.log(one / other)).max() < np.log(1 + ALIKE))


def _usable(affine: NDArray) -> bool:
    """Say whether an affine is finite and gives each axis a length and an independent direction."""
    if not np.isfinite(affine).all():
        return False
    length = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.isfinite(length).all() and length.min() > 0 and abs(np.linalg.det(affine[:3, :3] / length)) > 1e-3)


def _words(size: NDArray) -> str:
    return "×".join(f"{v:.3g}" for v in size)
