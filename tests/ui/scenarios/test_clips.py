"""A clip in napari: time first, labels hidden, analysed by a model of clips and refused by one of heads."""

import shutil

import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.display.views import layer_name
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.errors import InputError
from napari_vqad.io.clips import read_clip
from napari_vqad.ui.compare.dock import CompareDock
from napari_vqad.ui.files import readers
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import MASK_NAME

NAMES = {"mask": MASK_NAME} | {n: layer_name(s) for n, s in Dependencies(VQDetector).maps.items()}


HEADS_ONLY = ("brain", " mm", "head", "axial")


@pytest.fixture
def clip_file(make_clip, tmp_path):
    return make_clip(tmp_path / "walk.npz", 1, range(6, 12))


@pytest.fixture
def watched(dock, clip_file, tiny_clips, idle):
    """The dock with a clip analysed by a model of clips; the head is gone."""
    dock.viewer.layers.clear()
    dock.viewer.open(clip_file, plugin="napari-vqad")
    dock.inputs.bundle.box.addItem("Tiny, clips", tiny_clips)
    dock.inputs.bundle.pick(tiny_clips)
    dock.start()
    idle(dock)
    return dock


def test_opened_through_napari_time_is_first(make_napari_viewer, clip_file):
    viewer = make_napari_viewer()
    image, labels = viewer.open(clip_file, plugin="napari-vqad")
    clip = read_clip(clip_file)
    assert isinstance(image, Image)
    assert isinstance(labels, Labels)
    np.testing.assert_array_equal(image.data, clip.frames)
    np.testing.assert_array_equal(labels.data, clip.label)
    assert not labels.visible
    for layer in (image, labels):
        assert layer.axis_labels == ("time", "row", "column")
        np.testing.assert_array_equal(layer.scale, 1)
    assert image.contrast_limits == [0, 255]
    assert viewer.dims.nsteps[0] == len(clip)
    assert viewer.dims.not_displayed == (0,)


def test_a_clip_without_labels_is_one_layer(make_clip, tmp_path):
    assert [layer[2] for layer in readers.read(str(make_clip(tmp_path / "walk.npz")))] == ["image"]


def test_other_npz_fall_through_and_broken_clips_are_named(tmp_path, notices):
    np.savez(tmp_path / "other.npz", levels=np.zeros(3))
    assert readers.get_reader(str(tmp_path / "other.npz")) is None
    np.savez(tmp_path / "colour.npz", frames=np.zeros((4, 5, 6, 3), np.uint8))
    assert readers.get_reader([str(tmp_path / "colour.npz"), "scan.nii"]) is not None
    assert readers.read(str(tmp_path / "colour.npz")) == [(None,)]
    assert len(notices) == 1
    assert "colour.npz" in notices[0]


def test_maps_lie_on_the_frames(watched):
    layers, explorer = watched.viewer.layers, watched.session.explorer
    assert NAMES["mask"] not in layers
    scan, score = layers["walk"], layers[NAMES["pixel_score"]]
    for name in ("NLL", "Residual", "Score", "Flagged", "Restoration"):
        watched.show_view(name)
    np.testing.assert_array_equal(score.data, explorer.map("pixel_score"))
    np.testing.assert_array_equal(layers[NAMES["nll"]].data, explorer.map("nll"))
    for layer in (score, layers[NAMES["restoration"]]):
        assert layer.data.shape == scan.data.shape
        np.testing.assert_array_equal(layer.data_to_world((3, 4, 5)), scan.data_to_world((3, 4, 5)))
        assert layer.axis_labels == scan.axis_labels
        assert layer.units == scan.units
    # The same window in SD for frames and restorations.
    low, high = layers[NAMES["restoration"]].contrast_limits
    assert scan.contrast_limits == pytest.approx([100 + 40 * low, 100 + 40 * high])


def test_frames_are_gone_through(watched):
    watched.session.go_to(7)
    assert watched.viewer.dims.point[0] == 7
    assert watched.session.current() == 7
    watched.viewer.dims.set_point(0, 12)
    assert watched.session.current() == watched.profile.here == 12


def test_no_word_of_heads(watched):
    dock = watched
    assert dock.inputs.brain.box.isHidden()
    assert dock.widgets["axis"].isHidden()
    assert "20 frames flagged" in dock.count.text()
    assert (dock.profile.shown.places[0], dock.profile.shown.places[-1]) == ("frame 0", "frame 19")
    notes = [knob.note.text() for knob in dock.widgets.values()]
    names = [layer.name for layer in dock.viewer.layers]
    for text in (dock.status.text(), dock.count.text(), *dock.profile.shown.places, *notes, *names):
        assert not any(word in text.lower() for word in HEADS_ONLY), text
    assert "All of each frame" in dock.session.note


def test_a_label_layer_is_no_mask_of_a_clip(watched):
    watched.inputs.brain.pick(watched.viewer.layers["walk, abnormal (ground truth)"])
    scan, mask, _, _ = watched.inputs.chosen()
    assert scan.name == "walk"
    assert mask is None


def test_a_head_brings_the_mask_back(watched, head, tiny_bundle, idle):
    volume, _ = head
    data, attributes, _ = readers.scan_layer(volume)
    watched.viewer.layers.clear()
    watched.viewer.add_image(data, **attributes)
    assert not watched.inputs.brain.box.isHidden()
    watched.inputs.bundle.pick(tiny_bundle)
    watched.start()
    idle(watched)
    assert not watched.widgets["axis"].isHidden()
    assert NAMES["mask"] in watched.viewer.layers
    assert watched.profile.shown.places[0].endswith(" mm")


def test_a_head_below_a_clip_keeps_its_letters_and_its_convention(dock, clip_file):
    camera, letters = dock.viewer.scene.camera, dock.viewer.canvas.overlays
    dock.display.sides.setChecked(True)
    before = camera.orientation2d
    assert letters["vqad_right"].text == "R"
    clip, _labels = dock.viewer.open(clip_file, plugin="napari-vqad")
    assert clip in dock.viewer.layers[1:], "it lies above the head"
    assert dock.display.sides.text() == "Neurological"
    assert camera.orientation2d == before
    assert letters["vqad_right"].text == "R"
    assert dock.display.other.isEnabled()
    assert dock.display.head() is dock.viewer.layers["head"].metadata["napari_vqad"]
    dock.viewer.layers.remove("head")
    assert dock.display.head() is None
    assert not letters["vqad_right"].visible


def test_a_head_below_an_analysed_clip_is_not_mirrored(dock, clip_file, tiny_clips, idle):
    head, letters = dock.viewer.layers["head"], dock.viewer.canvas.overlays
    dock.display.sides.setChecked(True)
    before = dock.viewer.scene.camera.orientation2d
    clip, _labels = dock.viewer.open(clip_file, plugin="napari-vqad")
    dock.inputs.bundle.box.addItem("Tiny, clips", tiny_clips)
    dock.inputs.bundle.pick(tiny_clips)
    dock.start()
    idle(dock)
    assert dock.session.explorer.scan is clip.metadata["napari_vqad"]
    assert dock.viewer.scene.camera.orientation2d == before
    assert letters["vqad_right"].text == "R"
    assert list(dock.display.shown()) == [head], "the other planes are those of the head"
    dock.viewer.layers.remove("head")
    assert dock.display.head() is None
    assert not letters["vqad_right"].visible


def test_two_models_of_clips_beside_each_other(watched, tiny_clips, tmp_path, qtbot):
    other = shutil.copytree(tiny_clips, tmp_path / "other")
    compare = CompareDock(watched.viewer)
    watched.viewer.window.add_dock_widget(compare, name="Compare models", area="right")
    for folder in (tiny_clips, other):
        compare.offer(folder)
    compare.tick(tiny_clips, other)
    compare.start()
    qtbot.waitUntil(lambda: compare.status.text().endswith("Ready."), timeout=20_000)
    for panel in compare.panels:
        assert panel.map.axis_labels == panel.scan.axis_labels == ("time", "row", "column")
        np.testing.assert_array_equal(panel.map.data, panel.explorer.map("nll"))
    assert "brain" not in compare.status.text().lower()
    compare.end()


@pytest.mark.parametrize("what", ["clip", "head"])
def test_the_wrong_kind_is_refused_in_one_sentence(dock, clip_file, tiny_clips, what, qtbot, notices):
    if what == "clip":
        dock.viewer.layers.clear()  # napari warns of pixels beside millimetres
        dock.viewer.open(clip_file, plugin="napari-vqad")
    else:
        dock.inputs.bundle.box.addItem("Tiny, clips", tiny_clips)
        dock.inputs.bundle.pick(tiny_clips)
    dock.start()
    qtbot.waitUntil(lambda: dock.analyse.isEnabled(), timeout=10_000)
    assert len(notices) == 1
    assert f"is a {what}, and the chosen model knows {'heads' if what == 'clip' else 'clips'} alone" in notices[0]
    assert dock.status.text() == notices[0]
    assert dock.session.explorer is None


def test_a_clip_is_not_written_as_a_scan(clip_file, tmp_path):
    (data, attributes, _), _labels = readers.read(str(clip_file))
    with pytest.raises(InputError, match=r"save it as \.tif"):
        readers.write_image(str(tmp_path / "walk.nii.gz"), data, attributes)
    assert not list(tmp_path.glob("*.nii.gz"))


def test_kind_of_a_layer(clip_file, head):
    (data, attributes, _), _labels = readers.read(str(clip_file))
    assert placement.kind_of(Image(data, **attributes)) == "clip"
    assert placement.kind_of(Image(data)) == "head"
