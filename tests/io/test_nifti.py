"""NIfTI in and out: every geometry exact, every broken file refused with a sentence."""

import gzip
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import is_nifti, read_labels, read_mask, read_scan, write_map

TURN = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]])
ORIENTATIONS = [(o, s, t) for t in (False, True) for o in permutations(range(3)) for s in product((1, -1), repeat=3)]


def affine_of(order=(0, 1, 2), signs=(1, 1, 1), oblique=False, spacing=(1.0, 2.5, 3.0)):
    affine = np.zeros((4, 4))
    for i, axis in enumerate(order):
        affine[axis, i] = signs[i] * spacing[i]
    if oblique:
        affine[:3, :3] = TURN @ affine[:3, :3]
    affine[:, 3] = (-20, 31, 4, 1)
    return affine


@pytest.fixture
def save(tmp_path):
    """(array, affine) → path of a file."""

    def save(array, affine=None, name="scan.nii.gz", kind=nib.Nifti1Image, **header):
        image = kind(array, affine_of() if affine is None else affine)
        for key, value in header.items():
            image.header[key] = value
        nib.save(image, tmp_path / name)
        return tmp_path / name

    return save


def noise(shape=(7, 6, 5), dtype=np.int16):
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize(("order", "signs", "oblique"), ORIENTATIONS)
def test_a_marked_voxel_comes_back_in_the_files_own_voxel(save, tmp_path, order, signs, oblique):
    array, affine, index = noise(), affine_of(order, signs, oblique), (5, 1, 3)
    array[index] = 5000
    path = save(array, affine, "scan.nii")
    volume = read_scan(path)
    (found,) = np.argwhere(volume.voxels == 5000)
    np.testing.assert_allclose(volume.affine @ [*found, 1], nib.load(path).affine @ [*index, 1], atol=1e-4)
    assert (np.diag(volume.affine)[:3] > 0).all()

    marked = np.where(volume.voxels == 5000, 7.25, 0).astype(np.float32)
    write_map(tmp_path / "map.nii", marked, volume, "NLL, nats")
    image = nib.load(tmp_path / "map.nii")
    assert np.argwhere(np.asarray(image.dataobj)).tolist() == [list(index)]
    assert np.asarray(image.dataobj)[index] == 7.25
    assert np.array_equal(image.affine, nib.load(path).affine)
    assert bytes(image.header["descrip"]).startswith(b"NLL, nats")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("scale", [(1.0, 0.0), (0.37, -12.0)])
def test_any_dtype_and_scl_slope(save, dtype, scale):
    array = noise().astype(dtype)
    path = save(array)
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[112:120] = np.array(scale, "<f4").tobytes()
    path.write_bytes(gzip.compress(raw))
    voxels = read_scan(path).voxels
    assert voxels.dtype == np.float32
    np.testing.assert_allclose(voxels, array * np.float32(scale[0]) + scale[1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(7, 6, 5, 1), (7, 6, 5, 1, 1)])
def test_trailing_axes_of_length_one_are_dropped(save, tmp_path, shape):
    volume = read_scan(save(noise(shape)))
    assert volume.voxels.shape == (7, 6, 5)
    write_map(tmp_path / "map.nii.gz", volume.voxels, volume)
    assert nib.load(tmp_path / "map.nii.gz").shape == (7, 6, 5)


def test_big_endian_nifti_2_and_capital_endings(save, tmp_path):
    array = noise()
    image = nib.Nifti1Image(array, affine_of(), nib.Nifti1Header(endianness=">"))
    nib.save(image, tmp_path / "big.nii")
    second = save(array, name="two.nii.gz", kind=nib.Nifti2Image)
    capital = second.rename(tmp_path / "TWO.NII.GZ")
    for path in (tmp_path / "big.nii", capital):
        volume = read_scan(path)
        np.testing.assert_array_equal(volume.voxels, array)
        write_map(tmp_path / "map.nii", volume.voxels, volume)
        np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "map.nii").dataobj), array)
    assert volume.name == "TWO"
    assert is_nifti(capital)
    assert not is_nifti("scan.png")


def test_voxels_that_are_not_numbers_are_filled_and_told(save):
    array = noise(dtype=np.float32) + 10
    array[0, 0, :3] = np.nan, np.inf, -np.inf
    volume = read_scan(save(array))
    assert (volume.voxels[0, 0, :3] == array[np.isfinite(array)].min()).all()
    assert len(volume.notes) == 1
    assert volume.notes[0].startswith("3 voxels")


def test_metres_become_millimetres_and_stay_metres_in_the_file(save, tmp_path):
    path = save(noise(), affine_of(spacing=(0.001, 0.002, 0.003)), xyzt_units=1)
    volume = read_scan(path)
    np.testing.assert_allclose(volume.spacing, (1, 2, 3), rtol=1e-5)
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    image = nib.load(tmp_path / "map.nii")
    assert image.header.get_xyzt_units()[0] == "meter"
    assert np.array_equal(image.affine, nib.load(path).affine)


def test_a_header_that_does_not_know_left_from_right_is_told(save):
    path = save(noise(), name="scan.nii")
    raw = bytearray(path.read_bytes())
    raw[252:256] = bytes(4)  # qform_code, sform_code
    path.write_bytes(raw)
    volume = read_scan(path)
    assert "swapped" in volume.notes[0]


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (2, 1), (4, 2), (0, 0)])
def test_codes_forms_and_units_are_kept_to_the_bit(tmp_path, sform, qform):
    image = nib.Nifti1Image(noise(), None)
    image.set_qform(affine_of(oblique=True), qform)
    image.set_sform(affine_of((1, 0, 2), (1, -1, 1), oblique=True), sform)
    image.header.set_xyzt_units("mm", "sec")
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"the patient's name"))
    image.header["cal_max"] = 300
    nib.save(image, tmp_path / "scan.nii")
    volume = read_scan(tmp_path / "scan.nii")
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    scan, written = (nib.load(tmp_path / f"{n}.nii").header for n in ("scan", "map"))
    geometry = [k for k in scan if k.startswith(("srow", "quatern", "qoffset", "pixdim", "sform", "qform", "xyzt"))]
    assert all(np.array_equal(scan[k], written[k]) for k in geometry)
    assert written["cal_max"] == 0
    assert not written.extensions


@pytest.mark.parametrize(
    ("given", "stored"),
    [(bool, np.uint8), (np.uint8, np.uint8), (np.int16, np.int16), (np.int64, np.int32)]
    + [(t, np.float32) for t in (np.float16, np.float32, np.float64)],
)
def test_maps_are_stored_as_they_are(save, tmp_path, given, stored):
    path = save(noise())
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[112:120] = np.array((0.5, 3.0), "<f4").tobytes()  # the scan's scale must not reach the map
    path.write_bytes(gzip.compress(raw))
    volume = read_scan(path)
    array = (volume.voxels % 2).astype(given)
    write_map(tmp_path / "map.nii.gz", array, volume)
    image = nib.load(tmp_path / "map.nii.gz")
    assert image.get_data_dtype() == stored
    assert image.dataobj.slope == 1
    np.testing.assert_array_equal(np.asarray(image.dataobj), array)


def test_a_volume_without_a_header_is_written_with_its_affine(tmp_path):
    affine = affine_of((2, 0, 1), (-1, 1, -1))
    volume = Volume.from_array(noise(), affine)
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    image = nib.load(tmp_path / "map.nii")
    np.testing.assert_allclose(image.affine, affine)
    np.testing.assert_array_equal(np.asarray(image.dataobj), noise())
    assert image.header.get_xyzt_units()[0] == "mm"


def test_writing_is_whole_or_not_at_all(save, tmp_path, monkeypatch):
    volume = read_scan(save(noise(), name="scan.nii"))
    target = tmp_path / "map.nii"
    target.write_bytes(b"the old one")

    def full(image, path):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", full)
    with pytest.raises(InputError, match=r"map\.nii cannot be written: no space left"):
        write_map(target, volume.voxels, volume)
    assert target.read_bytes() == b"the old one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.nii", "scan.nii"]


def test_a_folder_that_is_not_there_is_told(save, tmp_path):
    volume = read_scan(save(noise()))
    with pytest.raises(InputError, match=r"map\.nii cannot be written"):
        write_map(tmp_path / "nowhere" / "map.nii", volume.voxels, volume)


def test_a_map_of_another_shape_is_a_mistake_of_ours(save, tmp_path):
    volume = read_scan(save(noise()))
    with pytest.raises(ValueError, match="does not belong"):
        write_map(tmp_path / "map.nii", volume.voxels[1:], volume)


def cut(raw):
    return raw[: len(raw) // 2]


def flipped(raw):
    raw = bytearray(raw)
    raw[len(raw) // 2] ^= 0xFF
    return bytes(raw)


BAD_BYTES = {
    "truncated.nii": (cut, "cut short"),
    "truncated.nii.gz": (cut, "cut short"),
    "corrupt.nii.gz": (flipped, "cut short|damaged"),
    "header-only.nii": (lambda raw: raw[:352], "cut short"),
    "no-checksum.nii.gz": (lambda raw: raw[:-8], "cut short"),
    "half-a-header.nii": (lambda raw: raw[:200], "not a NIfTI file"),
    "nothing.nii": (lambda raw: b"", "not a NIfTI file"),
    "nothing.nii.gz": (lambda raw: b"", "not a NIfTI file"),
    "not-gzip.nii.gz": (lambda raw: b"x" * 2000, "not a NIfTI file"),
    "a-picture.nii": (lambda raw: b"\x89PNG\r\n" * 200, "not a NIfTI file"),
    "unknown-dtype.nii": (lambda raw: raw[:70] + b"\x99\x99" + raw[72:], "broken NIfTI header"),
}


@pytest.mark.parametrize("name", BAD_BYTES)
def test_broken_files_are_refused(save, name, capfd):
    change, reason = BAD_BYTES[name]
    path = save(np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32), name=name)
    path.write_bytes(change(path.read_bytes()))
    refused(path, reason)
    assert not capfd.readouterr().err


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
BAD_ARRAYS = {
    "2D": (noise((7, 6)), "has the shape 7×6"),
    "one-slice": (noise((7, 6, 1)), "at least two voxels"),
    "4D": (noise((7, 6, 5, 2)), "has the shape 7×6×5×2"),
    "rgb": (np.zeros((7, 6, 5), RGB), "colour"),
    "complex": (noise(dtype=np.complex64), "complex"),
    "empty": (noise((7, 0, 5)), "empty"),
    "constant": (np.full((7, 6, 5), 4, np.int16), "constant: every voxel is 4"),
    "all-nan": (np.full((7, 6, 5), np.nan, np.float32), "no voxel that is a number"),
    "all-inf": (np.full((7, 6, 5), np.inf, np.float32), "no voxel that is a number"),
    "nan-or-4": (np.where(noise() > 100, np.nan, 4).astype(np.float32), "constant"),
}


@pytest.mark.parametrize("what", BAD_ARRAYS)
def test_arrays_that_are_no_scan_are_refused(save, what):
    array, reason = BAD_ARRAYS[what]
    refused(save(array, name=f"{what}.nii.gz"), reason)


@pytest.mark.parametrize(
    ("row", "column", "value"), [(0, 0, 0), (1, 1, np.nan), (2, 2, np.inf)], ids=["zero", "nan", "inf"]
)
def test_affines_that_say_nothing_are_refused(save, row, column, value):
    path = save(noise(), name="scan.nii")
    raw = bytearray(path.read_bytes())
    at = 280 + 16 * row + 4 * column  # srow_x begins there
    raw[at : at + 4] = np.float32(value).tobytes()
    path.write_bytes(raw)
    refused(path, "affine")


def test_an_affine_with_two_axes_alike_is_refused(save):
    path = save(noise(), name="scan.nii")
    raw = bytearray(path.read_bytes())
    raw[280:328] = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], "<f4").tobytes()
    path.write_bytes(raw)
    refused(path, "affine")


def test_paths_that_lead_nowhere_are_refused(tmp_path):
    refused(tmp_path / "nowhere.nii.gz", "does not exist")
    (tmp_path / "folder.nii").mkdir()
    refused(tmp_path / "folder.nii", "not a file")
    (tmp_path / "notes.txt").write_text("a scan")
    refused(tmp_path / "notes.txt", "ends neither in")


def refused(path, reason):
    """One sentence that names the file and the reason."""
    with pytest.raises(InputError, match=reason) as error:
        read_scan(path)
    message = str(error.value)
    assert str(path) in message
    assert message.endswith(".")
    assert "\n" not in message


def test_a_mask_in_another_axis_order_lands_on_the_same_voxels(save):
    scan = read_scan(save(noise(), affine_of()))
    inside = noise() > 120
    flipped = affine_of((1, 0, 2), (1, -1, 1), spacing=(2.5, 1.0, 3.0))
    flipped[:3, 3] = (-20 + 6 * 1.0, 31, 4)
    as_stored = np.flip(inside.swapaxes(0, 1), 1)
    mask = read_mask(save(as_stored.astype(np.uint8), flipped, "mask.nii"), scan)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, inside)


def test_masks_may_be_probabilities_and_hold_nan(save):
    scan = read_scan(save(noise()))
    soft = np.where(noise() > 120, 0.3, np.nan).astype(np.float32)
    np.testing.assert_array_equal(read_mask(save(soft, name="mask.nii"), scan), noise() > 120)


def test_labels_keep_their_numbers_and_may_be_none(save):
    scan = read_scan(save(noise()))
    labels = noise() % 5
    found = read_labels(save(labels.astype(np.float32), name="labels.nii"), scan)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, labels)
    assert not read_labels(save(np.zeros_like(labels), name="none.nii"), scan).any()


def moved(mm):
    affine = affine_of()
    affine[0, 3] += mm
    return affine


@pytest.mark.parametrize(
    ("array", "affine", "reason"),
    [
        (np.ones((7, 6, 4), np.uint8), affine_of(), "7×6×4 voxels and scan has 7×6×5"),
        (np.zeros((7, 6, 5), np.uint8), affine_of(), "no voxels"),
        (np.full((7, 6, 5), np.nan, np.float32), affine_of(), "no voxels"),
        (np.ones((7, 6, 5), np.uint8), moved(4), "another place"),
        (np.ones((7, 6, 5), np.uint8), affine_of(spacing=(2.0, 2.5, 3.0)), "another place"),
    ],
)
def test_masks_that_do_not_fit_are_refused(save, array, affine, reason):
    scan = read_scan(save(noise()))
    path = save(array, affine, "mask.nii")
    with pytest.raises(InputError, match=reason) as error:
        read_mask(path, scan)
    assert str(path) in str(error.value)


def test_a_mask_that_is_off_by_rounding_fits(save):
    scan = read_scan(save(noise()))
    assert read_mask(save(np.ones((7, 6, 5), np.uint8), moved(0.4), "mask.nii"), scan).all()


def test_real_scans_come_back_with_an_equal_affine(shared_data, tmp_path):
    for name in ("ms07_t1", "lgg_7881_t1"):
        path = shared_data / "lesions" / f"{name}.nii.gz"
        volume = read_scan(path)
        write_map(tmp_path / "map.nii", volume.voxels, volume)
        image = nib.load(tmp_path / "map.nii")
        assert np.array_equal(image.affine, nib.load(path).affine)
        np.testing.assert_array_equal(np.asarray(image.dataobj), nib.load(path).get_fdata(dtype=np.float32))
