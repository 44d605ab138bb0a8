"""DICOM in: every orientation on the right side of the patient, what is no scan refused with a sentence."""

from io import BytesIO
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage, generate_uid

from napari_vqad.errors import InputError
from napari_vqad.io.dicom_index import SeveralSeriesError, holds_dicom, is_dicom
from napari_vqad.io.dicom_series import Series, read_series
from napari_vqad.io.load import load_scan, source_of
from napari_vqad.io.nifti import write_map

SPACING = (1.5, 2.0, 3.0)
TURN = np.array([[0.96, -0.28, 0], [0.28, 0.96, 0], [0, 0, 1.0]]) @ [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
ORIENTATIONS = [(o, s, t) for t in (False, True) for o in permutations(range(3)) for s in product((1, -1), repeat=3)]
SHAPE = (7, 6, 5)  # columns, rows, slices


def affine_of(order=(0, 1, 2), signs=(-1, -1, 1), oblique=False):
    affine = np.eye(4)
    affine[:3, :3] = 0
    for i, axis in enumerate(order):
        affine[axis, i] = signs[i] * SPACING[i]
    if oblique:
        affine[:3, :3] = TURN @ affine[:3, :3]
    affine[:3, 3] = (-20, 31, 4)
    return affine


def noise(shape=SHAPE):
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.uint16)


def edit(path, **tags):
    """Change a file's header."""
    image = dcmread(path)
    for name, value in tags.items():
        if value is None:
            delattr(image, name)
        else:
            setattr(image, name, value)
    image.save_as(path)


def files_of(folder):
    return sorted(folder.iterdir())


@pytest.fixture
def series(make_series, tmp_path):
    return make_series(tmp_path / "scan", noise(), affine_of())


@pytest.mark.parametrize(("order", "signs", "oblique"), ORIENTATIONS)
def test_a_marked_voxel_lies_where_dicom_says(make_series, tmp_path, order, signs, oblique):
    array, affine, index = noise(), affine_of(order, signs, oblique), (5, 1, 3)
    array[index] = 5000
    mm = affine @ [*index, 1]  # to the patient's right, anterior, superior
    volume = read_series(make_series(tmp_path / "scan", array, affine, ending=""))
    (found,) = np.argwhere(volume.voxels == 5000)
    np.testing.assert_allclose(volume.affine @ [*found, 1], mm, atol=1e-4)
    assert (np.diag(volume.affine)[:3] > 0).all()
    write_map(tmp_path / "map.nii", volume.voxels, volume)
    image = nib.load(tmp_path / "map.nii")
    (there,) = np.argwhere(np.asarray(image.dataobj) == 5000)
    np.testing.assert_allclose(image.affine @ [*there, 1], mm, atol=1e-4)


def test_right_anterior_superior_grow_along_the_voxels(make_series, tmp_path):
    """A sagittal scan whose columns run to the back, rows to the feet, slices to the left."""
    affine = affine_of((1, 2, 0), (-1, -1, -1))
    array = np.zeros(SHAPE, np.uint16)
    array[0, 0, 0] = 900  # so the first is the foremost, uppermost, rightmost
    volume = read_series(make_series(tmp_path / "scan", array, affine))
    assert np.argwhere(volume.voxels).tolist() == [[n - 1 for n in (5, 7, 6)]]
    np.testing.assert_allclose(volume.spacing, (3.0, 1.5, 2.0), atol=1e-5)


def test_rescaled_named_and_without_the_patient(series):
    for path in files_of(series):
        edit(path, RescaleSlope=0.5, RescaleIntercept=-10)
    volume = read_series(series)
    np.testing.assert_allclose(volume.to_file(volume.voxels), noise() * 0.5 - 10)
    assert volume.name == "t1 mprage"
    assert not volume.notes
    assert isinstance(volume.header, Series)
    assert not {"Doe", "P17"} & set(repr((volume.header, volume.name, volume.notes)).replace("^", "'").split("'"))


def test_one_file_brings_its_siblings_and_nothing_of_other_series(make_series, series, tmp_path):
    make_series(series, noise((4, 4, 3)), affine_of(), number=8)
    volume = read_series(files_of(series)[2])
    assert volume.voxels.shape == SHAPE
    np.testing.assert_array_equal(load_scan(volume.path).voxels, volume.voxels)


@pytest.mark.parametrize("start", ["a", "b", ""])
def test_a_series_in_two_folders_is_whole_and_is_read_again(series, tmp_path, start):
    """As on a CD; from the folder above, or from a file of either. Of a copy nothing is taken."""
    for number, path in enumerate(files_of(series)):
        for folder in ["a"] * (number < 3) + ["b"] * (number > 2) + ["copy of b"] * (number > 3):
            (tmp_path / "cd" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "cd" / folder / path.name).write_bytes(path.read_bytes())
    opened = files_of(tmp_path / "cd" / start)[-1] if start else tmp_path / "cd"
    volume = load_scan(opened)
    np.testing.assert_array_equal(volume.voxels, load_scan(series).voxels)
    assert ("Its slices were found in 2 folders" in " ".join(volume.notes)) == bool(start)
    assert "passed over as a copy" in volume.notes[-1]
    path, uid = source_of(volume)
    assert (path, uid) == (opened, volume.header.uid)
    np.testing.assert_array_equal(load_scan(path, uid).voxels, volume.voxels)


def test_a_changed_copy_beside_it_is_not_mixed_in(series, make_series):
    uid = read_series(series).header.uid
    other = make_series(series.parent / "defaced", noise()[::-1], affine_of(), SeriesInstanceUID=uid)
    for folder in (series, other):
        volume = load_scan(files_of(folder)[0])
        assert {p.parent for p in volume.header.files} == {folder}
        assert volume.notes == ("5 files were passed over as a copy of an image that was read.",)


def test_what_is_no_image_is_passed_over(series, make_series):
    (series / "notes.txt").write_text("the patient's notes")
    (series / ".hidden").write_bytes(bytes(128) + b"DICM")
    make_series(series / "report", noise((2, 2, 1)), affine_of(), number=99)
    edit(series / "report" / "IM990000.dcm", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")  # a report
    report = dcmread(series / "report" / "IM990000.dcm")
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID
    report.save_as(series / "report" / "IM990000.dcm")
    assert read_series(series).voxels.shape == SHAPE


def test_localizers_and_single_images_are_not_asked_about(series, make_series):
    localizer = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesDescription": "scout"}
    make_series(series / "a", noise(), affine_of(), number=1, **localizer)
    make_series(series / "b", noise((4, 4, 1)), affine_of(), number=9, SeriesDescription="screen shot")
    volume = read_series(series)
    assert volume.name == "t1 mprage"
    assert volume.notes[0].endswith("1: scout, 5 slices; 9: screen shot, 1 slice.")


def test_localizers_within_a_series_are_left_out(series):
    first = dcmread(files_of(series)[0])
    first.SOPInstanceUID = first.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    first.ImageType, first.ImageOrientationPatient = ["ORIGINAL", "PRIMARY", "LOCALIZER"], [0, 1, 0, 0, 0, -1]
    first.save_as(series / "AA.dcm")
    volume = read_series(series)
    assert volume.voxels.shape == SHAPE
    assert volume.notes == ("1 localizer image was left out of the series.",)


def test_monochrome1_is_turned_round(make_series, tmp_path):
    array = noise()
    volume = read_series(make_series(tmp_path / "scan", array, affine_of(), PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(volume.to_file(volume.voxels), array.max() + array.min() - array.astype(float))
    assert "MONOCHROME1" in volume.notes[0]


def test_signed_and_compressed_pixels(make_series, tmp_path):
    array = noise()
    folder = make_series(tmp_path / "scan", array, affine_of(), PixelRepresentation=1)
    for path in files_of(folder):
        image = dcmread(path)
        image.PixelData = (image.pixel_array - 100).astype("<i2").tobytes()
        image.compress(RLELossless, generate_instance_uid=False)
        image.save_as(path)
    volume = read_series(folder)
    np.testing.assert_array_equal(volume.to_file(volume.voxels), array.astype(float) - 100)


@pytest.mark.parametrize("oblique", [False, True])
def test_enhanced_images_with_frames_in_any_order(make_enhanced, tmp_path, oblique):
    affine = affine_of((1, 2, 0), (-1, -1, 1), oblique)
    path = make_enhanced(tmp_path / "in" / "one", noise(), affine, order=(3, 0, 4, 1, 2), slope=0.5)
    volume = read_series(path.parent)
    stored = volume.to_file(volume.voxels)
    if not np.allclose(volume.file_affine, affine, atol=1e-4):  # the normal runs the other way
        stored = stored[..., ::-1]
    np.testing.assert_allclose(stored, noise() * 0.5 - 7)
    np.testing.assert_allclose(sorted(volume.spacing), sorted(SPACING), atol=1e-5)


def test_several_series_are_named_and_picked(series, make_series):
    make_series(series, noise((6, 6, 4)), affine_of(), number=5, SeriesDescription="flair")
    with pytest.raises(SeveralSeriesError, match=r"--series: 3: t1 mprage, 5 slices; 5: flair, 4 slices\.") as several:
        read_series(series)
    assert read_series(series, 5).name == read_series(series, "5").name == "flair"
    assert read_series(series, several.value.series[0].uid).name == "t1 mprage"
    refused(series, "no series 7, but 3: t1 mprage", 7)
    make_series(series / "again", noise((4, 4, 4)), affine_of(), number=5)
    refused(series, "2 series of the number 5; give the UID", 5)
    refused(files_of(series)[0], "one file of one series, 3: t1 mprage, 5 slices, and not of 5", 5)
    assert read_series(files_of(series)[0], 3).name == "t1 mprage"


def refused(path, reason, series=None):
    """One sentence that names the place."""
    with pytest.raises(InputError, match=reason) as error:
        load_scan(path, series)
    message = str(error.value)
    assert str(path.parent) in message
    assert message.endswith(".")
    assert "\n" not in message


# What is changed in the third of five files, and what is said of it.
ONE_FILE = {
    "orientation": ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "turned against each other"),
    "size": ({"Rows": 3, "Columns": 14}, "different sizes: 3×14, 6×7"),
    "spacing": ({"PixelSpacing": [2.5, 1.5]}, r"different pixel spacing: 2\.5×1\.5, 2×1\.5 mm"),
    "no position": ({"ImagePositionPatient": None}, "IM030002.dcm does not say where"),
    "no orientation": ({"ImageOrientationPatient": None}, "does not say where"),
    "zero spacing": ({"PixelSpacing": [0, 1.5]}, "does not say where"),
    "skewed axes": ({"ImageOrientationPatient": [1, 0, 0, 0.6, 0.8, 0]}, "not at right angles"),
    "same place": ({"ImagePositionPatient": [20, -31, 7]}, "5 images at 4 places, as of several echoes"),
    "uneven": ({"ImagePositionPatient": [20, -31, 11]}, r"uneven gaps between its slices: 2 of 4"),
    "colour": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, "is a colour image"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "is a colour image"),
    "mixed": ({"PhotometricInterpretation": "MONOCHROME1"}, "stores bright as dark in some"),
    "many frames": ({"NumberOfFrames": 2}, "many frames"),
    "no pixels": ({"PixelData": None}, "pixels cannot be read"),
    "fewer pixels": ({"PixelData": bytes(40)}, "IM030002.dcm is cut short or damaged"),
    "no size": ({"Rows": None}, "header cannot be read"),
}


@pytest.mark.parametrize("what", ONE_FILE)
def test_a_slice_that_does_not_fit_is_refused(series, what):
    tags, reason = ONE_FILE[what]
    edit(files_of(series)[2], **tags)
    refused(series, reason)


def test_missing_slices_are_counted_and_placed(make_series, tmp_path):
    folder = make_series(tmp_path / "scan", noise((4, 4, 12)), affine_of())
    for k in (3, 4):
        (folder / f"IM03{k:04}.dcm").unlink()
    refused(folder, r"not whole: 2 slices are missing, between S 10\.0 mm \(IM030002.dcm\) and S 19\.0 mm \(IM030005")
    (folder / "IM030008.dcm").unlink()
    refused(folder, "3 slices are missing, .* and at 1 more place")


def test_a_tilted_gantry_is_refused(make_series, tmp_path):
    affine = affine_of()
    affine[1, 2] = 3.0 * np.tan(np.radians(12))
    refused(make_series(tmp_path / "scan", noise(), affine), r"askew by 12\.0°")


def test_cut_files_are_refused(series):
    path = files_of(series)[2]
    whole = path.read_bytes()
    for length in (0, 90, 140, 170, 200, 400, 700, len(whole) - 100, len(whole) - 30):
        path.write_bytes(whole[:length])
        refused(series, "IM030002.dcm .*(cut short|damaged|does not say where)")


def bare(path, meta, explicit):
    """Write a file anew without its preamble, and without its meta header if that is not wanted."""
    image = dcmread(path)
    raw = BytesIO()
    plain = Dataset(image)
    plain.save_as(raw, implicit_vr=not explicit, little_endian=True, enforce_file_format=False)
    header = BytesIO()
    if meta:
        write_file_meta_info(header, image.file_meta)
    path.write_bytes(header.getvalue() + raw.getvalue())


@pytest.mark.parametrize(("meta", "explicit"), [(False, False), (False, True), (True, True)])
@pytest.mark.parametrize("ending", [".dcm", ""])
def test_files_without_a_preamble_are_read(make_series, tmp_path, meta, explicit, ending):
    affine = affine_of((1, 2, 0), (-1, -1, 1), oblique=True)
    series = make_series(tmp_path / "scan", noise(), affine, ending=ending)
    whole = read_series(series)
    for path in files_of(series):
        bare(path, meta, explicit)
        assert path.read_bytes()[128:132] != b"DICM"
    assert holds_dicom(series)
    for opened in (series, files_of(series)[1]):
        volume = load_scan(opened)
        np.testing.assert_array_equal(volume.voxels, whole.voxels)
        np.testing.assert_array_equal(volume.affine, whole.affine)
    path = files_of(series)[2]
    raw = path.read_bytes()
    for length in (300, 500, len(raw) - 100, len(raw) - 30):
        path.write_bytes(raw[:length])
        refused(series, f"{path.name} .*(cut short|damaged|does not say where)")


def test_bare_files_that_are_no_image_and_files_that_only_begin_alike_are_passed_over(series, make_series):
    other = files_of(make_series(series / "report", noise((2, 2, 1)), affine_of(), number=99))[0]
    edit(other, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    bare(other, meta=False, explicit=False)
    assert is_dicom(other)
    for n, raw in enumerate((b"\x08\x00" * 200, b"\x08\x00\x16\x00UI\x04\x001.2.", bytes(range(8, 200)), b"\x02\x00")):
        (series / f"file{n}").write_bytes(raw)
        assert not is_dicom(series / f"file{n}")
    assert read_series(series).voxels.shape == SHAPE


def test_an_unknown_compression_is_refused_by_name(series):
    for path in files_of(series):
        image = dcmread(path)
        image.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
        image["PixelData"].is_undefined_length = True
        image.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00\xff\x4f\xff\x51"
        image.save_as(path)
    refused(series, "compressed as High-Throughput JPEG 2000 .* no decoder is installed")


def test_folders_and_files_without_a_scan_are_refused(make_series, tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    refused(folder, "holds no DICOM file")
    (folder / "notes.txt").write_text("none")
    refused(folder / "notes.txt", "neither a NIfTI file")
    refused(folder / "nowhere", "does not exist")
    (folder / "mine.dcm").write_text("none")
    with pytest.raises(InputError, match="does not bear that mark"):
        read_series(folder / "mine.dcm")
    refused(make_series(tmp_path / "flat", np.full(SHAPE, 4, np.uint16), affine_of()), "constant: every voxel is 4")
    refused(make_series(tmp_path / "one", noise((7, 6, 1)), affine_of()), "single slice")
    bad = make_series(tmp_path / "colour", noise((7, 6, 1)), affine_of(), SOPClassUID=SecondaryCaptureImageStorage)
    edit(files_of(bad)[0], SeriesInstanceUID=None)
    refused(bad, "header cannot be read")
    nib.save(nib.Nifti1Image(noise(), affine_of()), folder / "scan.nii")
    refused(folder / "scan.nii", "not a folder with DICOM", 3)


def test_a_folder_is_known_by_its_files(series, tmp_path):
    assert holds_dicom(series.parent)
    assert is_dicom(files_of(series)[0])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("none")
    assert not holds_dicom(tmp_path / "other")
    assert not holds_dicom(tmp_path / "nowhere")
