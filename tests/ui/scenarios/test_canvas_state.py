"""The canvas between explorer and comparison: one cell a model, and all as it was at the end."""

import numpy as np
import pytest
from qtpy.QtCore import QCoreApplication, QEvent

from napari_vqad.ui.compare.dock import CompareDock
from napari_vqad.ui.plumbing import shortcuts
from napari_vqad.ui.plumbing.connections import docked


@pytest.fixture
def compare(explored, comparison):
    """The comparison's widget beside the explorer that has analysed the head."""
    widget = comparison(explored.viewer)
    widget.inputs.brain.pick(explored.viewer.layers["ball"])
    explored.session.change(flag_voxels=0.3)
    return widget


@pytest.fixture
def run(compare, compare_all):
    return lambda: compare_all(compare)


def state(viewer) -> dict:
    """What is seen, and how."""
    camera, grid = viewer.scene.camera, viewer.canvas.grid
    return {
        "layers": [(layer.name, layer.visible) for layer in viewer.layers],
        "active": viewer.layers.selection.active,
        "grid": (grid.enabled, grid.stride, grid.shape, grid.actual_shape(viewer.layers)),
        "camera": (*camera.center, camera.zoom),
    }


def cells(viewer) -> dict[str, tuple[int, int]]:
    """Name of each visible layer → its cell."""
    layers, grid = viewer.layers, viewer.canvas.grid
    return {m.name: grid.position(i, layers) for i, m in enumerate(layers) if m.visible}


ONE_EACH = {"Scan, Tiny": (0, 0), "Tiny": (0, 0), "Scan, Tiny, masked": (0, 1), "Tiny, masked": (0, 1)}


@pytest.mark.parametrize("beside", [False, True])
def test_one_cell_a_model_and_at_the_end_what_was_there(explored, compare, run, qtbot, beside):
    viewer = explored.viewer
    viewer.layers["ball"].visible = False
    explored.display.box.click()
    explored.display.other.click()
    explored.show_restoration(2)
    viewer.canvas.grid.shape = (1, -1)
    explored.beside.setChecked(beside)
    viewer.scene.camera.zoom *= 1.7
    viewer.scene.camera.center = (0.0, -20.0, 12.0)
    viewer.layers.selection.active = viewer.layers["head"]
    qtbot.wait(100)
    before = state(viewer)
    run()
    assert cells(viewer) == ONE_EACH
    assert viewer.canvas.grid.actual_shape(viewer.layers) == (1, 2)
    assert not explored.beside.isEnabled()
    compare.leave.click()
    qtbot.wait(100)
    after = state(viewer)
    crosshair = [pair for pair in before["layers"] if pair[0] == "Cross-hair"]
    assert bool(crosshair) != beside
    assert after.pop("camera") == pytest.approx(before.pop("camera"))
    assert after == before
    assert explored.beside.isEnabled()
    assert explored.beside.isChecked() == beside
    assert explored.view_name() == "Restoration"
    assert viewer.layers["Restoration 2"].visible


def test_what_the_explorer_is_asked_for_meanwhile_is_shown_at_the_end(explored, compare, run, qtbot):
    viewer = explored.viewer
    viewer.layers["ball"].visible = False
    explored.show_view("Restoration")
    explored.display.flicker.click()
    run()
    qtbot.wait(600)  # longer than a picture of the flicker
    assert cells(viewer) == ONE_EACH
    explored.display.flicker.click()
    explored.show_view("NLL")
    explored.display.box.click()
    explored.beside.setChecked(True)  # by code: it cannot be pressed
    explored.beside.setChecked(False)
    assert cells(viewer) == ONE_EACH
    compare.end()
    assert {name for name, seen in state(viewer)["layers"] if seen} == {"head", "NLL (nats)", "Finding boxes"}
    assert not viewer.canvas.grid.enabled


def test_another_analysis_meanwhile_does_not_mix_with_the_cells(explored, compare, run, idle):
    viewer = explored.viewer
    viewer.layers["ball"].visible = False
    run()
    explored.start()
    idle(explored)
    assert cells(viewer) == ONE_EACH
    assert explored.session.map_layers.scan is viewer.layers["head"]
    compare.end()
    assert {name for name, seen in state(viewer)["layers"] if seen} == {"head", "Pixel score"}


def test_boxes_take_no_cell(explored, qtbot):
    viewer = explored.viewer
    viewer.layers["ball"].visible = False
    explored.session.change(flag_voxels=0.3)
    explored.display.box.click()
    explored.beside.click()
    assert cells(viewer) == {"head": (0, 0), "Pixel score": (0, 1)}
    explored.session.change(flag_voxels=0.4)  # other findings, other boxes
    assert cells(viewer) == {"head": (0, 0), "Pixel score": (0, 1)}
    explored.beside.click()
    assert viewer.layers["Finding boxes"].visible
    assert np.asarray(viewer.layers["Finding boxes"].data).any()


def test_the_cross_ends_the_comparison(explored, compare, run, qtbot, capsys):
    viewer = explored.viewer
    before = state(viewer)
    run()
    another = CompareDock(viewer)  # takes the place of the one that is there
    assert docked(viewer, CompareDock) == []
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    after = state(viewer)
    assert after.pop("camera") == pytest.approx(before.pop("camera"))
    assert after == before
    viewer.dims.set_point(0, viewer.dims.point[0] + 8)
    viewer.add_points(np.zeros((1, 3)))
    assert "Traceback" not in capsys.readouterr().err
    another.deleteLater()


def test_the_explorer_may_end_before_the_comparison(explored, compare, run, qtbot):
    viewer = explored.viewer
    viewer.layers["ball"].visible = False
    run()
    viewer.window.remove_dock_widget(explored)
    assert cells(viewer) == ONE_EACH
    compare.end()
    assert state(viewer)["layers"] == [("head", True), ("ball", False)]
    assert shortcuts.NEXT not in map(str, viewer.keymap)
