"""What is asked and said of layers that may be scans."""

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_vqad.ui.dock import ExplorerDock
from napari_vqad.ui.files import readers

LETTERS = ("left", "right", "top", "bottom")


@pytest.fixture
def empty(make_napari_viewer):
    """The dock in a viewer without layers."""
    viewer = make_napari_viewer(show=True)
    dock = ExplorerDock(viewer)
    viewer.window.add_dock_widget(dock, name="VQ Anomaly Explorer", area="right")
    yield dock
    dock.session.close()


def letters(viewer):
    return tuple(viewer.canvas.overlays[f"vqad_{name}"].text for name in LETTERS)


def choose(box, codes):
    """As a click on the item."""
    box.setCurrentIndex(box.findData(codes))
    box.activated.emit(box.currentIndex())


def test_letters_of_a_bare_array_are_doubted_until_the_user_says_how_it_lies(empty, head):
    viewer, questions = empty.viewer, empty.inputs.questions
    volume, _ = head
    viewer.add_image(volume.voxels, name="array", scale=(4.0, 4.0, 4.0), colormap="viridis")  # axes R, A, S
    assert letters(viewer) == ("R?", "L?", "A?", "P?")
    assert questions.axes.isVisible()
    choose(questions.box, "RAS")
    (layer,) = (m for m in viewer.layers if isinstance(m, Image))
    assert letters(viewer) == ("R", "L", "A", "P")
    assert (layer.name, layer.colormap.name) == ("array", "viridis")
    np.testing.assert_array_equal(layer.metadata["napari_vqad"].voxels, volume.voxels)
    np.testing.assert_allclose(layer.scale, (-4, -4, -4))
    assert empty.inputs.scan.value is layer
    assert questions.box.currentData() == "RAS", "what was said is shown, and may be changed"
    choose(questions.box, "LAS")
    (layer,) = (m for m in viewer.layers if isinstance(m, Image))
    np.testing.assert_array_equal(layer.metadata["napari_vqad"].voxels, volume.voxels[::-1])


def test_a_file_that_does_not_say_is_asked_about_and_its_maps_fit_it(empty, tmp_path):
    array = np.random.default_rng(0).normal(100, 20, (10, 12, 14)).astype(np.float32)
    image = nib.Nifti1Image(array, None)
    image.header["pixdim"][1:4] = (2, 3, 4)
    nib.save(image, tmp_path / "bare.nii.gz")
    viewer = empty.viewer
    viewer.open(tmp_path / "bare.nii.gz", plugin="napari-vqad")
    assert all(letter.endswith("?") for letter in letters(viewer))
    choose(empty.inputs.questions.box, "ASR")
    (layer,) = viewer.layers
    volume = layer.metadata["napari_vqad"]
    np.testing.assert_allclose(volume.spacing, (4, 2, 3))
    np.testing.assert_array_equal(volume.to_file(volume.voxels), array)
    (written,) = readers.write_image(str(tmp_path / "map.nii.gz"), layer.data, {"metadata": layer.metadata})
    np.testing.assert_allclose(nib.load(written).get_fdata(), array, rtol=1e-6)


def test_a_scan_that_says_how_it_lies_is_not_asked_about(dock):
    assert not dock.inputs.questions.axes.isVisible()
    assert not dock.inputs.questions.why.isVisible()


@pytest.mark.parametrize(
    ("shape", "about", "says"),
    [
        ((3, 8, 9, 10), {}, "“odd” has 4 axes, and a scan has 3. Take one volume of it"),
        ((8, 9), {}, "“odd” is a single 2D picture"),
        ((8, 9, 3), {"rgb": True}, "“odd” is a colour picture"),
    ],
)
def test_an_image_that_cannot_be_a_scan_says_what_to_do(empty, shape, about, says):
    empty.viewer.add_image(np.zeros(shape, np.uint8), name="odd", **about)
    why = empty.inputs.questions.why
    assert why.isVisible()
    assert why.text().startswith(says)
    empty.viewer.layers.clear()
    assert not why.isVisible()


def test_a_label_file_opens_as_labels_and_is_no_scan(empty, tmp_path):
    array = np.zeros((10, 12, 14), np.int16)
    array[2:6, 2:6, 2:6], array[6:9, 6:9, 6:9] = 3, 1003
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 2, 2, 1])), tmp_path / "t1_dseg.nii.gz")
    viewer = empty.viewer
    viewer.open(tmp_path / "t1_dseg.nii.gz", plugin="napari-vqad")
    (layer,) = viewer.layers
    assert isinstance(layer, Labels)
    assert set(np.unique(layer.data)) == {0, 3, 1003}
    assert empty.inputs.scan.value is None
    assert "t1_dseg" in [title for title, _ in empty.inputs.brain.items()]
