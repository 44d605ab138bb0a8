"""NIfTI into napari and out of it."""

import gc
import weakref

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image
from pydicom import dcmread
from pydicom.uid import generate_uid
from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import QApplication, QLabel, QListWidget

from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import read_scan, write_map
from napari_vqad.ui.files import readers
from napari_vqad.ui.layers import placement

SAGITTAL = np.array([[0, 0, -3.0, 9], [-1.0, 0, 0, 5], [0, -2.0, 0, 7], [0, 0, 0, 1]])


@pytest.fixture
def odd_file(tmp_path):
    """A scan with permuted, flipped and slightly oblique axes."""
    voxels = np.random.default_rng(1).normal(100, 10, size=(9, 10, 11)).astype(np.float32)
    affine = np.array([[0.1, 0, -2, 11], [3, 0.1, 0, -12], [0, -1.5, 0.1, 13], [0, 0, 0, 1]])
    path = tmp_path / "odd.nii.gz"
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def test_only_nifti_is_taken():
    assert readers.get_reader("scan.nii.gz") is not None
    assert readers.get_reader(["a.nii", "b.nii.gz"]) is not None
    assert readers.get_reader("scan.tif") is None
    assert readers.get_reader(["a.nii", "b.tif"]) is None


def test_either_file_of_a_pair_opens_it_and_pairs_of_other_formats_are_not_taken(tmp_path):
    array = np.random.default_rng(1).integers(0, 200, (9, 10, 11)).astype(np.int16)
    nib.save(nib.Nifti1Pair(array, np.diag([-20.0, 20, 20, 1])), tmp_path / "scan.img")
    nib.save(nib.AnalyzeImage(array, np.diag([-20.0, 20, 20, 1])), tmp_path / "old.img")
    both = [str(tmp_path / "scan.hdr"), str(tmp_path / "scan.img")]
    for given in both:
        assert readers.get_reader(given) is not None
        ((data, attributes, _),) = readers.read(given)
        assert (data.shape, attributes["name"]) == ((11, 10, 9), "scan")
    assert readers.get_reader(str(tmp_path / "old.img")) is None


def test_a_layer_says_where_it_is(odd_file):
    ((data, attributes, kind),) = readers.read(str(odd_file))
    assert kind == "image"
    assert data.shape == (10, 9, 11)  # S, A, R of a file whose axes run A, S, R
    assert set(attributes["units"]) == {"mm"}
    assert len(attributes["axis_labels"]) == 3


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_image_comes_back_as_it_was(odd_file, tmp_path, ending):
    ((data, attributes, _),) = readers.read(str(odd_file))
    (written,) = readers.write_image(str(tmp_path / f"again{ending}"), data, attributes)
    before, after = nib.load(odd_file), nib.load(written)
    np.testing.assert_allclose(after.affine, before.affine)
    np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())


def test_map_is_written_in_the_space_of_its_scan(head, tmp_path):
    volume, mask = head
    grid = to_grid(volume, mask, GridSpec((32, 40), 4.0))
    attributes = {"name": "NLL (nats)", "metadata": {"napari_vqad": volume, "napari_vqad_grid": grid}}
    attributes |= placement.placed_on(grid)
    (written,) = readers.write_image(
        str(tmp_path / "nll.nii.gz"), placement.to_canvas(grid.stack_to_ras(grid.slices)), attributes
    )
    after = nib.load(written)
    assert after.shape == volume.voxels.shape
    np.testing.assert_allclose(after.affine, volume.affine)
    inside = volume.voxels[mask]
    expected = np.clip((volume.voxels - inside.mean()) / inside.std(), -3, 4)
    np.testing.assert_allclose(after.get_fdata()[mask], expected[mask], atol=1e-3)


def test_labels_stay_whole_numbers(head, tmp_path):
    volume, mask = head
    labels = Volume(mask.astype(np.float32) * 3, volume.affine, volume.affine)
    data, attributes, kind = readers.label_layer(labels, "ball")
    assert kind == "labels"
    (written,) = readers.write_labels(str(tmp_path / "labels.nii.gz"), data, attributes)
    after = nib.load(written)
    assert after.get_data_dtype().kind in "iu"
    np.testing.assert_array_equal(np.asarray(after.dataobj), 3 * mask)


def test_a_layer_does_not_take_the_place_of_the_file_that_it_is_of(head, tmp_path):
    volume, mask = head
    write_map(tmp_path / "head.nii.gz", volume.voxels, volume)
    (tmp_path / "link.nii.gz").symlink_to(tmp_path / "head.nii.gz")
    before = (tmp_path / "head.nii.gz").read_bytes()
    data, attributes, _ = readers.scan_layer(read_scan(tmp_path / "head.nii.gz"))
    for name in ("head", "head.nii.gz", "link.nii.gz"):
        with pytest.raises(InputError, match="choose another name"):
            readers.write_image(str(tmp_path / name), data, attributes)
        with pytest.raises(InputError, match="choose another name"):
            readers.write_labels(str(tmp_path / name), mask.astype(int).T, attributes)
    assert (tmp_path / "head.nii.gz").read_bytes() == before


def test_layer_of_another_reader_is_written_where_it_lies(tmp_path):
    data = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    attributes = {"name": "mine", "metadata": {}, "scale": (3, 2, 1), "translate": (10, 20, 30)}
    (written,) = readers.write_image(str(tmp_path / "mine.nii.gz"), data, attributes)
    volume = read_scan(written)
    np.testing.assert_allclose(sorted(volume.spacing), (1, 2, 3))
    assert volume.voxels.sum() == data.sum()


def test_broken_file_is_one_sentence_and_no_layer(tmp_path, notices):
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(b"nothing of use")
    assert readers.read(str(path)) == [(None,)]
    assert len(notices) == 1
    assert "broken.nii.gz" in notices[0]


def test_one_broken_file_does_not_stop_the_others(head_file, tmp_path, notices):
    path = tmp_path / "empty.nii"
    path.touch()
    found = readers.read([str(path), str(head_file)])
    assert [layer[1]["name"] for layer in found] == ["head"]
    assert len(notices) == 1


def test_samples_bring_their_answer_hidden(head, tmp_path, monkeypatch):
    volume, mask = head
    for name in ("healthy_t1", "lesions_t1"):
        write_map(tmp_path / f"{name}.nii.gz", volume.voxels, volume)
    write_map(tmp_path / "lesions_label.nii.gz", mask, volume)
    monkeypatch.setattr(readers, "samples_folder", lambda: tmp_path)
    assert [layer[2] for layer in readers.healthy_sample()] == ["image"]
    image, labels = readers.lesions_sample()
    assert (image[2], labels[2]) == ("image", "labels")
    assert labels[1]["visible"] is False
    assert labels[0].sum() == mask.sum()


@pytest.fixture
def dicom_folder(make_series, tmp_path):
    """Two series."""
    array = np.random.default_rng(0).integers(0, 200, (7, 6, 5)).astype(np.uint16)
    make_series(tmp_path / "study", array, SAGITTAL)
    return make_series(tmp_path / "study", array[..., :4], SAGITTAL, number=5, SeriesDescription="flair")


def answer(row, asked):
    """Stand in for the user before the form: choose a row of its list, or close it."""

    def look():
        dialog = next(w for w in QApplication.topLevelWidgets() if w.windowTitle() == "Which series?" and w.isVisible())
        view, text = dialog.findChild(QListWidget), dialog.findChild(QLabel)
        asked.append([*(view.item(i).text() for i in range(view.count())), text.text()])
        if row is None:
            dialog.reject()
            return
        if row:  # the first is chosen as it opens
            view.setCurrentRow(row)
        dialog.accept()

    QTimer.singleShot(200, look)


def test_folders_of_dicom_are_ours_and_others_are_not(dicom_folder, tmp_path):
    assert readers.get_reader(str(dicom_folder)) is not None
    assert readers.get_reader([str(p) for p in dicom_folder.iterdir()]) is not None
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "a.tif").write_text("none")
    assert readers.get_reader(str(tmp_path / "others")) is None


@pytest.mark.parametrize(("row", "name"), [(0, "t1 mprage"), (1, "flair"), (None, None)])
def test_the_person_is_asked_which_series(dicom_folder, make_napari_viewer, notices, row, name):
    viewer, asked = make_napari_viewer(), []
    answer(row, asked)
    viewer.open(dicom_folder, plugin="napari-vqad")
    ((first, second, text),) = asked
    assert (first, second) == ("1.  Series 3: t1 mprage, 5 slices", "2.  Series 5: flair, 4 slices")
    assert "study contains 2 series" in text
    assert [layer.name for layer in viewer.layers] == ([name] if name else [])
    assert not notices
    if row == 0:  # columns ran to the back, rows to the feet, slices to the left
        layer = viewer.layers[0]
        assert layer.data.shape == (6, 7, 5)
        np.testing.assert_allclose(np.abs(layer.scale), (2, 1, 3))


def test_a_double_click_opens_a_series_and_no_form_is_left(dicom_folder, make_napari_viewer, qtbot):
    viewer, forms = make_napari_viewer(), []

    def click():
        dialog = next(w for w in QApplication.topLevelWidgets() if w.windowTitle() == "Which series?" and w.isVisible())
        forms.append(weakref.ref(dialog.findChild(QListWidget)))
        forms.append(weakref.ref(dialog))
        view = dialog.findChild(QListWidget)
        row = view.visualItemRect(view.item(1)).center()
        for press in (qtbot.mouseClick, qtbot.mouseDClick):  # Qt takes no second click without a first
            press(view.viewport(), Qt.MouseButton.LeftButton, pos=row)
        if dialog.isVisible():
            dialog.reject()  # else the test waits for ever

    QTimer.singleShot(200, click)
    viewer.open(dicom_folder, plugin="napari-vqad")
    assert [layer.name for layer in viewer.layers] == ["flair"]
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert [form() for form in forms] == [None, None]


def test_many_files_of_a_series_are_one_scan(dicom_folder, notices):
    paths = [str(p) for p in sorted(dicom_folder.iterdir())]
    found = readers.read(paths)
    assert [layer[1]["name"] for layer in found] == ["t1 mprage", "flair"]
    (written,) = readers.write_image(str(dicom_folder.parent / "again.nii.gz"), found[0][0], found[0][1])
    np.testing.assert_allclose(read_scan(written).spacing, (3, 1, 2), atol=1e-5)


def test_many_files_handed_on_one_by_one_are_one_scan(dicom_folder, make_napari_viewer, notices, monkeypatch):
    """As File → Open Files and a drop hand them on."""
    first = dcmread(dicom_folder / "IM030000.dcm")  # a localizer within the series
    first.SOPInstanceUID = first.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    first.ImageType, first.ImagePositionPatient = ["ORIGINAL", "PRIMARY", "LOCALIZER"], [500, 0, 0]
    first.save_as(dicom_folder / "ZZ.dcm")
    viewer = make_napari_viewer()
    paths = sorted(dicom_folder.iterdir())
    viewer.open(paths, plugin="napari-vqad")
    assert [layer.name for layer in viewer.layers] == ["t1 mprage", "flair"]
    assert len(notices) == 1  # of the localizer

    flair = viewer.layers.pop()
    map_of_it = Image(flair.data, metadata=flair.metadata | {"napari_vqad_grid": None}, name="map of it")
    map_of_it.units, map_of_it.axis_labels = flair.units, flair.axis_labels
    viewer.add_layer(map_of_it)
    viewer.open(paths[-2], plugin="napari-vqad")  # closed, and opened again
    assert [layer.name for layer in viewer.layers] == ["t1 mprage", "map of it", "flair"]
    monkeypatch.setattr(readers, "_recently_read", readers.RecentlyRead())  # another day
    viewer.open(paths[:3], plugin="napari-vqad")
    assert len(viewer.layers) == 3
    assert notices[1:] == ["The series of IM030000.dcm is already open; to open it twice, open its folder."]

    answer(1, [])
    viewer.open(dicom_folder, plugin="napari-vqad")
    assert [layer.name for layer in viewer.layers] == ["t1 mprage", "map of it", "flair", "flair [1]"]


def test_many_files_of_a_refused_series_are_one_sentence(dicom_folder, make_napari_viewer, notices):
    (dicom_folder / "IM030002.dcm").unlink()
    viewer = make_napari_viewer()
    viewer.open(sorted(dicom_folder.iterdir()), plugin="napari-vqad")
    assert [layer.name for layer in viewer.layers] == ["flair"]
    (notice,) = notices
    assert "1 slice is missing" in notice


def test_a_folder_of_dicom_that_is_no_scan_is_one_sentence(dicom_folder, notices):
    path = dicom_folder / "IM030002.dcm"
    path.write_bytes(path.read_bytes()[:-40])
    assert readers.read(str(dicom_folder / "IM030000.dcm")) == [(None,)]
    assert len(notices) == 1
    assert "IM030002.dcm is cut short" in notices[0]
