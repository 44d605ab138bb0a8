"""The canvas, with a browser that only answers: what is sent to it, and when."""

import numpy as np
import pytest
from ipyniivue.traits import NIFTI1Hdr
from small_head import make_head
from tests_notebook import control

from napari_vqad.notebook.canvas import Canvas
from napari_vqad.notebook.volumes import BRAIN, FLAGGED, HEAT, colours


def say(canvas, event):
    canvas._scan.hdr = canvas._scan.hdr or NIFTI1Hdr()  # the browser says this, too
    canvas.widget._handle_custom_msg({"event": event, "data": {"id": canvas._scan.id}}, [])


def answer(canvas):
    """The browser has loaded the drawing, and sends it back in one piece."""
    chunk = {"chunk_index": 0, "total_chunks": 1, "data_type": "uint8", "chunk": memoryview(bytes(canvas.map.size))}
    canvas.widget.set_state({"chunk_draw_bitmap_0": chunk})


@pytest.fixture
def sent(view, monkeypatch):
    """All that is sent to the canvas after the browser has loaded scan and map."""
    messages = []
    monkeypatch.setattr(view._canvas.widget, "send", lambda content, buffers=None: messages.append((content, buffers)))
    view._canvas.widget.set_state({"_canvas_attached": True})
    say(view._canvas, "image_loaded")
    answer(view._canvas)
    messages.clear()
    return messages


def test_only_voxels_that_changed_are_sent(view, sent):
    before = view._canvas.map.ravel(order="F")
    control(view, "n_restorations").value = 1
    ((content, (at, values)),) = sent
    assert content["type"] == "buffer_update"
    after = view._canvas.map.ravel(order="F")
    changed = np.flatnonzero(before != after)
    np.testing.assert_array_equal(np.frombuffer(at, np.uint32), changed)
    np.testing.assert_array_equal(np.frombuffer(values, np.uint8), after[changed])
    assert 0 < len(changed) < after.size
    sent.clear()
    control(view, "lambda_s").value = 3.0  # changes no voxel of the score
    assert sent == []


def test_opacity_sends_no_voxel(view, sent):
    view._panel.opacity.value = 0.5
    assert view._canvas.widget.draw_opacity == 0.5
    assert sent == []
    view._panel.opacity.value = 1.0


def test_the_state_of_the_widget_holds_no_voxels(view):
    assert "draw_bitmap" not in view._canvas.widget.get_state()


def test_a_map_that_changes_while_the_browser_loads_one_is_sent_afterwards(view, sent):
    say(view._canvas, "image_loaded")  # as after the page was loaded again
    ((content, _),) = sent
    assert content["type"] == "load_drawing_from_url"
    sent.clear()
    control(view, "n_restorations").value = 1
    assert sent == []
    answer(view._canvas)
    assert [content["type"] for content, _ in sent] == ["buffer_update"]


def test_voxels_from_the_browser_do_not_replace_newer_ones(view, sent):
    before = view._canvas.map
    answer(view._canvas)
    np.testing.assert_array_equal(view._canvas.map, before)
    np.testing.assert_array_equal(view._canvas.widget.draw_bitmap, before.ravel(order="F"))


def test_the_cross_hair_of_a_canvas_starts_where_it_is_told():
    volume, _ = make_head()
    canvas = Canvas(volume, np.zeros(volume.voxels.shape, np.uint8), at=np.array([3.0, 4.0, 5.0]))
    canvas.go_to(canvas.at)
    np.testing.assert_allclose(canvas._voxels.index(canvas.widget.scene.crosshair_pos), [3, 4, 5])
    canvas.close()


def test_the_colours_are_those_of_the_desktop():
    table = np.array([colours()[name] for name in "RGBA"]).T
    assert table.shape == (256, 4)
    assert table[0, 3] == 0
    assert (np.diff(table[: HEAT[1] + 1, 3]) >= 0).all(), "higher values are no more transparent"
    np.testing.assert_array_equal(table[[BRAIN[0], BRAIN[1]]], [[0, 0, 0, 255], [255] * 4])
    np.testing.assert_array_equal(table[FLAGGED], [255, 158, 28, 255])
