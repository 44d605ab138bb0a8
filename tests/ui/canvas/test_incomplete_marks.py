"""What is not final is held, dimmed and labelled on the canvas, hatched in the profile, and said when it is written."""

import numpy as np
import pytest

from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.display.colours import DIM
from napari_vqad.display.views import layer_name
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.ui.files.readers import write_image
from napari_vqad.ui.layers.map_layers import MASK_NAME

NAMES = {"mask": MASK_NAME} | {n: layer_name(s) for n, s in Dependencies(VQDetector).maps.items()}


def overlay(dock):
    return dock.unfinished


def test_the_old_picture_stays_dimmed_until_the_neighbours_are_there(explored, gate, qtbot, idle, tmp_path, notices):
    gate.open = False
    session, profile = explored.session, explored.profile
    explorer, map_layers = session.explorer, session.map_layers
    explorer._at_once = 3  # a slice at a time
    explored.show_view("Score")
    session.go_to(12)
    layer = map_layers.layers["pixel_score"]
    opacity, before = layer.opacity, np.array(layer.data)
    assert overlay(explored).text == ""
    assert not profile.shown.waiting.any()

    session.change(seed=7)
    assert "Ready" not in explored.status.text()
    assert "restoring" in overlay(explored).text
    assert explored.viewer.canvas.overlays["vqad_unfinished"].visible
    assert layer.opacity == pytest.approx(DIM * opacity)
    np.testing.assert_array_equal(layer.data, before)
    gate.let = 3  # the slice in view and a neighbour on either side: not all that its score is pooled from
    qtbot.waitUntil(lambda: explorer.ready("restoration").sum() == 3, timeout=10_000)
    qtbot.wait(700)  # longer than between two pictures
    assert explorer.ready("restoration")[12]
    assert not explorer.ready("pixel_score")[12]
    assert layer.opacity == pytest.approx(DIM * opacity)
    np.testing.assert_array_equal(layer.data, before)
    assert explored.findings.isEnabled()
    assert not explored.export_menu.report.isEnabled()

    explored.show_view("Restoration")  # that of a slice needs no neighbours
    assert map_layers.layers["restoration"].opacity == 1
    assert "restoring" not in overlay(explored).text
    assert "not final yet" in overlay(explored).text
    explored.show_view("Score")
    assert "restoring" in overlay(explored).text

    gate.let = 8
    qtbot.waitUntil(lambda: explorer.ready("pixel_score")[12], timeout=10_000)
    qtbot.waitUntil(lambda: layer.opacity == opacity, timeout=2000)
    shown = explorer.grid.ras_to_stack(layer.data.transpose(2, 1, 0))
    np.testing.assert_allclose(shown[12], explorer.map("pixel_score")[12])
    np.testing.assert_array_equal(shown[0], explorer.grid.ras_to_stack(before.transpose(2, 1, 0))[0])
    left = int((~explorer.ready("pixel_score")).sum())
    assert overlay(explored).text == f"{left} of {explorer.n_slices} slices are not final yet."
    qtbot.waitUntil(lambda: np.array_equal(profile.shown.waiting, ~explorer.ready("pixel_score")), timeout=2000)
    session.go_to(1)
    assert "earlier settings" in overlay(explored).text
    assert layer.opacity == pytest.approx(DIM * opacity)
    explored.viewer.dims.order = (2, 0, 1)  # a picture through all slices
    assert "not final yet" in overlay(explored).text
    explored.viewer.dims.order = (0, 1, 2)

    explored.cancel.click()
    qtbot.waitUntil(explored.analyse.isEnabled, timeout=5000)
    assert "the run was stopped" in overlay(explored).text
    session.go_to(12)
    assert overlay(explored).text.endswith("not final yet: the run was stopped.")
    assert profile.shown.waiting.sum() == left
    notices.clear()
    write_image(str(tmp_path / "score.nii.gz"), layer.data, {"name": layer.name, "metadata": layer.metadata})
    assert "some of its slices are not final yet" in notices[0]

    gate.open = True
    session.change(seed=8)
    idle(explored)
    qtbot.waitUntil(lambda: overlay(explored).text == "", timeout=3000)
    assert layer.opacity == opacity
    assert not profile.shown.waiting.any()
    np.testing.assert_allclose(
        explorer.grid.ras_to_stack(layer.data.transpose(2, 1, 0)), explorer.map("pixel_score"), atol=1e-6
    )
    notices.clear()
    write_image(str(tmp_path / "score.nii.gz"), layer.data, {"name": layer.name, "metadata": layer.metadata})
    assert notices == []
    hidden = map_layers.layers["residual"]
    write_image(str(tmp_path / "residual.nii.gz"), hidden.data, {"name": hidden.name, "metadata": hidden.metadata})
    assert "show it first" in notices[0]
    explored.viewer.layers.remove("head")
    assert overlay(explored).text == ""


def test_a_slice_that_was_never_analysed_says_so(dock, gate, qtbot):
    gate.let = 3
    dock.start()
    qtbot.waitUntil(lambda: dock.session.explorer is not None, timeout=10_000)
    explorer = dock.session.explorer
    qtbot.waitUntil(lambda: explorer.ready("restoration").any(), timeout=10_000)
    qtbot.waitUntil(lambda: overlay(dock).text == "This slice is not analysed yet.", timeout=3000)
    assert not np.any(dock.session.map_layers.layers["pixel_score"].data), "half a score was shown"
    dock.cancel.click()
    qtbot.waitUntil(dock.analyse.isEnabled, timeout=5000)
    assert overlay(dock).text == "This slice is not analysed: the run was stopped."
    assert dock.viewer.layers[NAMES["pixel_score"]].visible
