"""Headers that say two things, or nothing: the usable one is taken, the guess is told, no side is made up."""

import gzip
import struct

import nibabel as nib
import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import is_nifti, is_pair, read_labels, read_mask, read_scan, write_map

SHAPE = (40, 50, 30)  # of 4 mm: 160×200×120 mm
AFFINE = np.array([[4.0, 0, 0, -80], [0, 4, 0, -100], [0, 0, 4, -60], [0, 0, 0, 1]])
TURN = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]]) @ [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
# Where the fields of NIfTI-1 are, and what struct calls their kind.
FIELDS = {
    "dim": (40, "h"),
    "pixdim": (76, "f"),
    "xyzt": (123, "B"),
    "qform_code": (252, "h"),
    "sform_code": (254, "h"),
    "quatern": (256, "f"),
    "qoffset": (268, "f"),
    "srow": (280, "f"),
}


def noise():
    return np.random.default_rng(0).integers(1, 200, SHAPE).astype(np.int16)


@pytest.fixture
def save(tmp_path):
    """sform, qform, and fields of the header set by hand → path of a NIfTI-1 file."""

    def save(sform=AFFINE, qform=AFFINE, codes=(1, 1), name="scan.nii", array=None, **fields):
        image = nib.Nifti1Image(noise() if array is None else array, None)
        image.set_qform(qform, codes[1])
        image.set_sform(sform, codes[0])
        image.header.set_xyzt_units("mm")
        raw = bytearray(image.to_bytes())
        for key, values in fields.items():
            at, kind = FIELDS[key]
            values = np.ravel(values).tolist()
            struct.pack_into(f"<{len(values)}{kind}", raw, at, *values)
        (tmp_path / name).write_bytes(raw)
        return tmp_path / name

    return save


def scaled(by, affine=AFFINE):
    return np.diag([by, by, by, 1.0]) @ affine


def flipped(axis):
    """The same place, one row of the affine with its sign turned."""
    signs = np.ones(4)
    signs[axis] = -1
    return np.diag(signs) @ AFFINE


def refused(path, reason):
    with pytest.raises(InputError, match=reason) as error:
        read_scan(path)
    message = str(error.value)
    assert str(path) in message
    assert message.endswith(".")
    assert "\n" not in message


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (4, 1), (1, 4)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_sform_and_qform_that_mirror_each_other_are_refused(save, codes, axis):
    refused(save(AFFINE, flipped(axis), codes), "says two things about left and right.* set the code of the other to 0")


def test_left_and_right_turned_about_by_half_a_turn_are_refused(save):
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ AFFINE  # as of a program that wrote LPS where RAS is asked for
    refused(save(AFFINE, lps), "says two things about left and right")


def test_a_mirrored_form_that_is_not_set_says_nothing(save):
    for codes in ((1, 0), (0, 1)):
        sform, qform = (AFFINE, flipped(0)) if codes[0] else (flipped(0), AFFINE)
        volume = read_scan(save(sform, qform, codes))
        np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)
        assert (volume.notes, volume.side_known) == ((), True)


@pytest.mark.parametrize(("degrees", "told", "known"), [(12, False, True), (50, True, False), (90, True, False)])
def test_forms_that_turn_the_head_differently_are_told(save, degrees, told, known):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turned = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ AFFINE
    volume = read_scan(save(AFFINE, turned))
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)
    assert volume.side_known == known
    assert any("turn the head differently" in note for note in volume.notes) == told


@pytest.mark.parametrize(("code", "by"), [(3, 1.25), (4, 0.8), (2, 1.1), (1, 1.05)])
def test_a_scaled_sform_beside_a_good_qform_gives_way(save, tmp_path, code, by):
    path = save(scaled(by), AFFINE, (code, 1))
    volume = read_scan(path)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)
    assert len(volume.notes) == 1
    assert "4×4×4 mm (qform)" in volume.notes[0]
    assert "the qform was taken" in volume.notes[0]
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    assert _geometry(tmp_path / "map.nii") == _geometry(path), "the file's own geometry is not ours to mend"


def _geometry(path):
    """The bytes of pixdim, units, qform and sform."""
    raw = path.read_bytes()
    return raw[76:108], raw[123], raw[252:328]


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_an_sform_that_agrees_is_taken_whatever_its_code(save, code):
    moved = AFFINE.copy()
    moved[:3, 3] += (5, -3, 8)
    volume = read_scan(save(moved, AFFINE, (code, 1)))
    np.testing.assert_allclose(volume.affine, moved, atol=1e-4)
    assert not volume.notes


@pytest.mark.parametrize(
    "srow", [np.zeros(12), np.r_[np.nan, AFFINE[:3].ravel()[1:]], np.r_[np.inf, AFFINE[:3].ravel()[1:]]]
)
def test_an_sform_of_zeros_or_nan_beside_a_good_qform_gives_way(save, tmp_path, srow):
    path = save(srow=srow)
    volume = read_scan(path)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)
    assert volume.side_known
    assert volume.notes == (
        "The header's sform is not usable (it holds zeros or no numbers); the qform was taken instead.",
    )
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    assert _geometry(tmp_path / "map.nii") == _geometry(path)
    refused(save(srow=srow, qform_code=0), "an affine that does not say where")


@pytest.mark.parametrize("fields", [{"quatern": [0.8, 0.8, 0.1]}, {"quatern": [np.nan, 0, 0]}, {"qoffset": [np.nan]}])
def test_an_unusable_qform_beside_a_good_sform_is_no_matter(save, tmp_path, fields):
    path = save(**fields)
    volume = read_scan(path)
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)
    assert not volume.notes
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    assert _geometry(tmp_path / "map.nii") == _geometry(path)
    refused(save(**fields, sform_code=0), "an affine that does not say where")


@pytest.mark.parametrize("longer", [1.0, 1.0001, 1.002, 1.01])
def test_a_quaternion_that_is_longer_than_one_by_rounding_is_a_half_turn(save, tmp_path, longer):
    """ITK scales it to one: the same affine to the bit of a float."""
    unit = np.array([0.6, 0.0, 0.8])
    path = save(codes=(0, 1), quatern=unit * longer)
    volume = read_scan(path)
    expected = np.eye(4)
    expected[:3, :3] = 4 * (2 * np.outer(unit, unit) - np.eye(3))
    expected[:3, 3] = AFFINE[:3, 3]
    np.testing.assert_allclose(volume.file_affine, expected, atol=2e-3)
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    assert _geometry(tmp_path / "map.nii") == _geometry(path)


def test_pixdim_gives_the_size_where_no_form_is_set_and_the_side_is_unknown(save):
    volume = read_scan(save(codes=(0, 0)))
    np.testing.assert_allclose(volume.spacing, 4, atol=1e-5)
    assert not volume.side_known
    assert volume.notes == ("The header does not say how the head lies; left and right may be swapped.",)


@pytest.mark.parametrize("pixdim", [[1, 0, 0, 0], [1, 4, 4, 0], [1, 4, np.nan, 4]])
def test_no_voxel_size_is_made_up(save, pixdim):
    refused(save(codes=(0, 0), pixdim=pixdim), "does not say how large its voxels are")
    np.testing.assert_allclose(read_scan(save(codes=(1, 0), pixdim=pixdim)).affine, AFFINE, atol=1e-4)


def test_a_negative_voxel_size_leaves_the_side_unknown(save):
    volume = read_scan(save(codes=(0, 1), pixdim=[1, -4, 4, 4]))
    np.testing.assert_allclose(volume.spacing, 4, atol=1e-5)
    assert not volume.side_known
    assert "left and right may be swapped" in volume.notes[0]


def test_an_sform_alone_against_pixdim_is_told_and_a_template_does_not_stretch_the_head(save):
    for code, pixdim, size, taken in ((1, 4, 5, "sform"), (4, 4, 4, "pixdim"), (4, 1, 5, "sform")):
        volume = read_scan(save(scaled(1.25), codes=(code, 0), pixdim=[1, pixdim, pixdim, pixdim]))
        np.testing.assert_allclose(volume.spacing, size, atol=1e-5)
        np.testing.assert_allclose(volume.origin, scaled(1.25)[:3, 3], atol=1e-4)
        assert f"the {taken} was taken" in volume.notes[0]


@pytest.mark.parametrize(
    ("by", "code", "told"),
    [
        (1, 2, None),
        (1, 0, None),
        (0.001, 1, None),
        (1000, 3, None),
        (1, 3, "In the header's micrometres the picture would be 0.2 mm long; its numbers were taken for millimetres."),
        (1, 1, "In the header's metres the picture would be 2e+05 mm long; its numbers were taken for millimetres."),
        (0.001, 2, "numbers were taken for metres"),
        (1000, 2, "numbers were taken for micrometres"),
        (1000, 0, "numbers were taken for micrometres"),
    ],
)
def test_the_unit_that_makes_a_head_is_taken(save, tmp_path, by, code, told):
    path = save(scaled(by), scaled(by), xyzt=code | 8)
    volume = read_scan(path)
    np.testing.assert_allclose(volume.affine, AFFINE, rtol=1e-5, atol=1e-3)
    assert len(volume.notes) == bool(told)
    assert (told or "") in "".join(volume.notes)
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    assert _geometry(tmp_path / "map.nii") == _geometry(path)


def test_where_no_unit_makes_a_head_the_headers_own_is_kept_and_told(save):
    volume = read_scan(save(scaled(0.05), scaled(0.05), xyzt=1))
    np.testing.assert_allclose(volume.spacing, 200, rtol=1e-5)
    assert "no other unit makes a head of it" in volume.notes[0]


def test_a_form_that_makes_a_head_is_taken_before_one_that_does_not(save):
    """An sform in metres beside a pixdim in millimetres, which is the header's unit."""
    volume = read_scan(save(scaled(0.001), AFFINE))
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-4)


MASK = noise() > 120


@pytest.mark.parametrize(
    ("scan", "mask"),
    [
        ({"sform": scaled(1.25), "codes": (3, 1)}, {"sform": scaled(1.25), "qform": scaled(1.25), "codes": (2, 0)}),
        ({"sform": scaled(1.25), "codes": (3, 1)}, {"codes": (0, 1)}),
        ({"sform": scaled(1.25), "codes": (3, 1)}, {"sform": scaled(1.25), "codes": (3, 1)}),
        ({"srow": np.zeros(12)}, {"codes": (1, 0)}),
        ({"srow": np.zeros(12)}, {"srow": np.zeros(12)}),
        ({"codes": (0, 0)}, {"codes": (0, 0)}),
        # What ITK writes beside a scan whose header says nothing.
        ({"codes": (0, 0)}, {"sform": np.diag([-4.0, -4, 4, 1]), "qform": np.diag([-4.0, -4, 4, 1])}),
        ({"xyzt": 3}, {"xyzt": 2}),
        ({"xyzt": 3}, {"xyzt": 3}),
    ],
)
def test_a_mask_that_says_what_its_scan_says_fits(save, scan, mask):
    volume = read_scan(save(**scan))
    path = save(name="mask.nii", array=MASK.astype(np.uint8), **mask)
    np.testing.assert_array_equal(volume.to_file(read_mask(path, volume)), MASK)
    np.testing.assert_array_equal(volume.to_file(read_labels(path, volume)), MASK)


def test_a_mask_in_another_order_of_axes_fits_the_form_that_was_not_taken(save):
    volume = read_scan(save(scaled(1.25), AFFINE, (3, 1)))
    other = scaled(1.25) @ np.array([[0, -1, 0, SHAPE[0] - 1], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    stored = np.flip(MASK, 0).swapaxes(0, 1).astype(np.uint8)
    path = save(other, other, (2, 0), name="mask.nii", array=stored)
    np.testing.assert_array_equal(volume.to_file(read_mask(path, volume)), MASK)


def test_a_mask_at_neither_place_is_refused(save):
    volume = read_scan(save(scaled(1.25), AFFINE, (3, 1)))
    path = save(scaled(1.1), scaled(1.1), name="mask.nii", array=MASK.astype(np.uint8))
    with pytest.raises(InputError, match="lies at another place"):
        read_mask(path, volume)


@pytest.mark.parametrize("trailing", [[0, 1, 1, 1], [1, 0, 1, 1], [0, 0, 0, 0]])
def test_trailing_dimensions_of_zero_are_none(save, tmp_path, trailing):
    volume = read_scan(save(dim=[5, *SHAPE, *trailing]))
    np.testing.assert_array_equal(volume.voxels, noise())
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    assert nib.load(tmp_path / "map.nii").shape == SHAPE
    refused(save(dim=[3, *SHAPE[:2], 0, 1]), "empty")


@pytest.mark.parametrize("ending", [".img", ".img.gz", ".IMG"])
def test_a_pair_is_read_by_either_of_its_files(tmp_path, ending):
    pair = nib.Nifti1Pair(noise(), AFFINE)
    nib.save(pair, tmp_path / "scan.img")
    header = ending.replace("img", "hdr").replace("IMG", "HDR")
    for old, new in ((".hdr", header), (".img", ending)):
        raw = (tmp_path / f"scan{old}").read_bytes()
        (tmp_path / f"scan{old}").unlink()
        (tmp_path / f"head{new}").write_bytes(gzip.compress(raw) if new.endswith("gz") else raw)
    for new in (header, ending):
        path = tmp_path / f"head{new}"
        assert is_pair(path)
        assert not is_nifti(path)
        volume = load_scan(path)
        np.testing.assert_array_equal(volume.voxels, noise())
        np.testing.assert_allclose(volume.affine, AFFINE)
        assert volume.name == "head"
        write_map(tmp_path / "map.nii", volume.voxels, volume)
        np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "map.nii").dataobj), noise())


def test_half_a_pair_or_a_pair_of_another_format_is_refused(tmp_path):
    nib.save(nib.AnalyzeImage(noise(), AFFINE), tmp_path / "old.img")
    assert not is_pair(tmp_path / "old.img")
    refused(tmp_path / "old.img", "not a NIfTI file")
    nib.save(nib.Nifti1Pair(noise(), AFFINE), tmp_path / "half.img")
    (tmp_path / "half.img").unlink()
    refused(tmp_path / "half.hdr", r"half\.img is not beside it")
    with pytest.raises(InputError, match="neither a NIfTI file"):
        load_scan(tmp_path / "half.hdr")
