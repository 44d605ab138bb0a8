"""What is seen while λ_p moves: no queue, no flicker, nothing drawn for nothing."""

import time

import numpy as np

from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.display.views import layer_name
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import MASK_NAME

NAMES = {"mask": MASK_NAME} | {n: layer_name(s) for n, s in Dependencies(VQDetector).maps.items()}


def test_while_the_slice_in_view_is_restored_a_new_lambda_p_waits_for_it(explored, qtbot, idle, monkeypatch):
    """A picture of where the slider was, then one of where it is, and none of the places between."""
    session, explorer = explored.session, explored.session.explorer
    plain, drawn = explorer.detector.restore, []

    def slow(*args, **how):
        drawn.append((len(args[3]), args[5].lambda_p))
        time.sleep(0.2)
        return plain(*args, **how)

    monkeypatch.setattr(explorer.detector, "restore", slow)
    explored.show_view("Restoration")  # the score of a slice waits for its neighbours
    pictures = []
    layer = explored.viewer.layers[NAMES["restoration"]]
    layer.events.set_data.connect(lambda: pictures.append(explorer.settings.lambda_p))
    slider = explored.widgets["lambda_p"].slider
    slider.setValue(4.0)
    qtbot.waitUntil(lambda: bool(drawn), timeout=5000)
    for value in (3.8, 3.6, 3.4, 3.2):
        session.change(lambda_p=value)
        assert explorer.settings.lambda_p == 4.0
        assert f"{value:.2f} nats" in explored.widgets["lambda_p"].note.text()  # the slider says where it is
    qtbot.waitUntil(lambda: 3.2 in pictures, timeout=10_000)
    idle(explored)
    in_view = [lambda_p for slices, lambda_p in drawn if slices == 1]
    assert in_view[0] == 4.0
    assert not {3.8, 3.6, 3.4} & {lambda_p for _, lambda_p in drawn}
    assert pictures.index(4.0) < pictures.index(3.2)
    explored.show_view("Score")
    shown = placement.to_canvas(explorer.grid.stack_to_ras(explorer.map("pixel_score")))
    np.testing.assert_array_equal(explored.viewer.layers[NAMES["pixel_score"]].data, shown)


def test_what_is_seen_stays_until_the_new_picture_is_there(explored, qtbot, idle, monkeypatch):
    """No flicker through black: the slice in view shows the old restorations until it has the new ones."""
    explorer = explored.session.explorer
    explored.show_view("Score")
    layer = explored.viewer.layers[NAMES["pixel_score"]]
    axis = placement.canvas_axis(explorer.grid)
    place = explorer.grid.mask.shape[0] // 2
    explored.session.go_to(place)

    def in_view():
        return np.take(np.asarray(layer.data), place, axis).copy()

    assert in_view().any()
    seen = []
    layer.events.set_data.connect(lambda: seen.append(in_view().any()))
    explored.widgets["lambda_p"].slider.setValue(3.9)
    idle(explored)
    assert seen
    assert all(seen)


def test_layers_are_not_filled_again_for_nothing(explored):
    explored.show_view("Score")
    filled = []
    explored.viewer.layers[NAMES["pixel_score"]].events.set_data.connect(lambda: filled.append(1))
    explored.session.change(lambda_s=3.0)
    assert not filled
    explored.session.change(k=0.0)
    assert filled
