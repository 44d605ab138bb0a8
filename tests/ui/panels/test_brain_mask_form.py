"""The widget that makes a brain mask: in a worker, placed as the scan, taken by the dock, no layer after an error."""

import gc
import threading
import weakref

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_vqad.errors import InputError
from napari_vqad.imaging.brain_mask import BrainMask, make_mask
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.mask_input import given_mask
from napari_vqad.ui.panels import brain_mask_form
from napari_vqad.ui.panels.brain_mask_form import NO_SCAN, BrainMaskForm


@pytest.fixture
def form(dock):
    """The widget beside the dock, opened as from the menu Plugins."""
    _, form = dock.viewer.window.add_plugin_dock_widget("napari-vqad", "Make brain mask")
    assert isinstance(form, BrainMaskForm)
    return form


def masks(viewer):
    return [m for m in viewer.layers if isinstance(m, Labels) and m.name.startswith("Brain mask")]


def made(form, qtbot):
    """Press the button, and wait for the end: the new layer, if there is one."""
    before = masks(form.viewer)
    form.button.native.click()
    assert not form.button.enabled, "it could be pressed twice"
    qtbot.waitUntil(lambda: form.button.enabled, timeout=30_000)
    return [m for m in masks(form.viewer) if m not in before]


def test_the_dock_takes_the_mask_of_the_chosen_scan(form, dock, head, idle, qtbot, notices, monkeypatch):
    threads = []

    def heard(volume):
        threads.append(threading.current_thread())
        return make_mask(volume)

    monkeypatch.setattr(brain_mask_form, "make_mask", heard)
    scan, expected = dock.viewer.layers["head"], make_mask(head[0])
    (layer,) = made(form, qtbot)
    assert threads != [threading.main_thread()]
    assert len(threads) == 1
    assert form.note.value == expected.note
    assert layer.name == "Brain mask of head"
    np.testing.assert_array_equal(layer.data, placement.to_canvas(expected.voxels))
    np.testing.assert_array_equal(layer.scale, scan.scale)
    np.testing.assert_array_equal(layer.translate, scan.translate)
    assert layer.units == scan.units
    assert layer.axis_labels == scan.axis_labels
    assert ("Brain mask of head", layer) in dock.inputs.brain.items()
    assert dock.inputs.scan.value is scan
    dock.inputs.brain.pick(layer)
    dock.start()
    idle(dock)
    np.testing.assert_array_equal(dock.session.prepared.mask, expected.voxels)
    assert dock.session.prepared.note == "Brain mask from the layer 'Brain mask of head'."
    assert not notices


def test_a_scan_of_another_reader_gets_its_mask_where_it_lies(form, dock, head, qtbot):
    viewer, array = dock.viewer, np.ascontiguousarray(head[0].voxels[:, :, :20])
    viewer.add_image(array, scale=(4, -4, 4), translate=(10, 20, 30), name="other")
    assert form.scan.value is viewer.layers["other"], "the newest scan is chosen"
    (layer,) = made(form, qtbot)
    volume = placement.volume_of(viewer.layers["other"])
    np.testing.assert_array_equal(given_mask(layer, volume)[0], make_mask(volume).voxels)
    inside = np.argwhere(np.asarray(layer.data) > 0)
    places = [viewer.layers["other"].world_to_data(layer.data_to_world(p)) for p in inside[:: len(inside) // 50]]
    assert min(array[tuple(np.rint(place).astype(int))] for place in places) > 100, "the mask lies beside the brain"


def test_an_error_is_one_sentence_and_no_layer(form, qtbot, notices):
    empty = Volume.from_array(np.zeros((30, 32, 28), np.float32), np.diag([-4.0, 4, 4, 1]), name="empty")
    form.viewer.add_image(
        placement.to_canvas(empty.voxels), name="empty", metadata={"napari_vqad": empty}, **placement.placed_as(empty)
    )
    assert made(form, qtbot) == []
    with pytest.raises(InputError) as error:
        make_mask(empty)
    assert form.note.value == str(error.value)
    assert notices == [str(error.value)]


def test_only_head_scans_are_offered(form, own_explored, head, tmp_path, make_clip):
    from napari_vqad.io.clips import read_clip
    from napari_vqad.ui.files.readers import clip_layers

    viewer = form.viewer
    data, attributes, _ = clip_layers(read_clip(make_clip(tmp_path / "walk.npz")))[0]
    viewer.add_image(data, **attributes)
    assert len([m for m in viewer.layers if not isinstance(m, Labels)]) > 2, "maps and a clip are there"
    assert [layer.name for layer in form.scan.choices] == ["head"]
    viewer.layers["head"].name = "mine"
    assert form.scan.native.itemText(0) == "mine"
    assert form.note.value == ""
    viewer.layers.clear()
    assert form.scan.choices == ()
    assert form.note.value == NO_SCAN
    assert not form.button.enabled


def test_a_scan_that_is_removed_meanwhile_gets_no_mask(form, qtbot, monkeypatch):
    go_on = threading.Event()

    def wait(volume):
        go_on.wait(10)
        return BrainMask(np.ones(volume.voxels.shape, bool), "Made.")

    monkeypatch.setattr(brain_mask_form, "make_mask", wait)
    form.button.native.click()
    qtbot.waitUntil(lambda: "is being computed" in form.note.value)
    form.viewer.layers.remove("head")
    go_on.set()
    qtbot.waitUntil(lambda: "removed meanwhile" in form.note.value)
    assert masks(form.viewer) == []


@pytest.mark.parametrize("at_work", [False, True])
def test_taken_out_of_the_window_it_is_gone(show_head, qtbot, monkeypatch, at_work):
    viewer, go_on = show_head(), threading.Event()

    def wait(volume):
        go_on.wait(10)
        return BrainMask(np.ones(volume.voxels.shape, bool), "Made.")

    def open_and_close():
        _, form = viewer.window.add_plugin_dock_widget("napari-vqad", "Make brain mask")
        if at_work:
            form.button.native.click()
            qtbot.waitUntil(lambda: "is being computed" in form.note.value)
        viewer.window.remove_dock_widget(form)
        return [weakref.ref(form), weakref.ref(form.form), weakref.ref(form.scan), weakref.ref(form.button)]

    monkeypatch.setattr(brain_mask_form, "make_mask", wait)
    gone = open_and_close()
    go_on.set()

    def collected():
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        gc.collect()
        return [reference() for reference in gone] == [None] * len(gone)

    qtbot.waitUntil(collected, timeout=10_000)
    assert masks(viewer) == []
    viewer.layers.remove("head")  # nobody listens any more
