"""Where the voxels of a NIfTI file lie: what its header says about it, compared, and the usable part taken.

A header speaks of geometry in four places: sform (an affine), qform (a rotation, with the voxel size in pixdim), pixdim
and the unit of length. They may contradict each other. What is taken instead of the first of them is told in a note.
The rules are those that ITK, FSL and nibabel agree on; where they differ, a wrong side and a wrong size are avoided.
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
HEAD = (50.0, 1500.0)  # mm: the longest side of a picture of a head, from a small field of view to a whole body
ALIKE = 0.03  # voxel sizes that differ by no more than this agree
LONGEST = 1.05  # of a quaternion that is longer than 1 by rounding
TEMPLATE = 3  # from this sform code on, the affine leads to the space of a template, not of the scanner


@dataclass(frozen=True)
class Geometry:
    """Where the voxels lie.

    Attributes:
        file_affine: 4×4, voxel index of the file → the header's unit of length, by the form that was taken.
        mm: millimetres in one such unit.
        side_known: False where the header does not say which side is right, or says it in two ways.
        notes: what was guessed, in sentences for the user.
        stated: every affine, 4×4 to mm, that another program may have taken from the same header; ours is the first.
    """

    file_affine: NDArray
    mm: float
    side_known: bool = True
    notes: tuple[str, ...] = ()
    stated: tuple[NDArray, ...] = ()


@dataclass(frozen=True)
class _Form:
    """An affine and the words for it."""

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
    """Compare what a header says of its geometry, and take what is usable.

    * The sform is taken, as in FSL and nibabel; the qform where the sform is unusable (zeros, NaN), or where its voxel
      size differs from pixdim, as after a registration to a template.
    * Where neither is set, the voxel size is pixdim's, and the side is unknown.
    * A unit that makes no head, such as micrometres that are millimetres, gives way to one that does.

    Args:
        header: as it is in the file, nothing mended.
        shape: three numbers of voxels.
        path: the file, for the messages.

    Raises:
        InputError: sform and qform contradict each other about left and right; or nothing of the header is usable.
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
    if form is qform and header["pixdim"][1:4].min() < 0:  # which readers take for a flip, or do not
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
    """The sform, None where it is not set or gives an axis no length or direction of its own."""
    affine = np.eye(4)
    affine[:3] = [header["srow_x"], header["srow_y"], header["srow_z"]]
    return _Form("sform", affine) if header["sform_code"] > 0 and _usable(affine) else None


def _qform(header: nib.Nifti1Header) -> _Form | None:
    """The qform, None where it is not set or unusable.

    A quaternion that is longer than 1 by rounding is a turn by 180°, and is scaled to 1, as in ITK. Of a negative
    pixdim the sign is dropped; of pixdim[0] only the sign counts.
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
    """Three voxel sizes, None where one of them is zero or no number."""
    size = np.abs(np.array(header["pixdim"][1:4], float))
    return size if np.isfinite(size).all() and size.min() > 0 else None


def _pixdim_form(header: nib.Nifti1Header, shape: Sequence[int], path: Path) -> _Form:
    """An affine of the voxel size alone, as nibabel reads it: the first axis runs to the left, the centre is 0 mm.

    Raises:
        InputError: there is no voxel size, or a form that should say more is damaged.
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
    """Is the side known, and what is to be told of two forms that turn the head differently?

    Raises:
        InputError: one of them is the mirror image of the other, or has left where the other has right.
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
    """The rotation or reflection that is nearest to an affine, without its voxel size."""
    left, _, right = np.linalg.svd(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    return left @ right


def _by_preference(sform: _Form | None, qform: _Form | None, header: nib.Nifti1Header) -> list[_Form]:
    """The usable forms, first the one that is taken where all make a head."""
    if sform and qform:  # whose voxel size is pixdim
        return [sform, qform] if _agree(sform.size, qform.size) else [qform, sform]
    if not sform:
        return [qform] if qform else []
    size = _pixdim(header)
    if size is None or _agree(size, sform.size):
        return [sform]
    resized = sform.affine.copy()
    resized[:3, :3] *= size / sform.size
    pixdim = _Form("pixdim", resized)  # which is what ITK takes
    # A template's affine stretches the head to the template's size. A pixdim of 1×1×1 is what a program that knows
    # only of affines leaves there.
    stretched = header["sform_code"] >= TEMPLATE and not (size == 1).all()
    return [pixdim, sform] if stretched else [sform, pixdim]


def _plausible(forms: list[_Form], shape: Sequence[int], header: nib.Nifti1Header) -> tuple[_Form, float]:
    """The first form and unit, the header's own before others, that make a head; where none does, the first of all.

    Units are a thousandfold apart, so that no more than one of them fits a form.
    """
    own = _unit(header)[0]
    for mm in (own, *(mm for mm, _ in UNITS.values() if mm != own)):
        for form in forms:
            if HEAD[0] <= form.extent(shape) * mm <= HEAD[1]:
                return form, mm
    return forms[0], own


def _unit(header: nib.Nifti1Header) -> tuple[float, str]:
    """Millimetres in the header's unit of length, and its name; millimetres where it gives none."""
    return UNITS.get(int(header["xyzt_units"]) & 7, UNITS[2])  # the upper bits are the unit of time


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
    """Does an affine give each axis a length and a direction of its own?"""
    if not np.isfinite(affine).all():
        return False
    length = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.isfinite(length).all() and length.min() > 0 and abs(np.linalg.det(affine[:3, :3] / length)) > 1e-3)


def _words(size: NDArray) -> str:
    return "×".join(f"{v:.3g}" for v in size)
