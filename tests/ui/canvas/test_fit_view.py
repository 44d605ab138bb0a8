"""The head is whole in the canvas whatever happens to the window, and the user's own view stays."""

import numpy as np
import pytest


def outside(viewer) -> float:
    """By how many pixels the head sticks out of the canvas."""
    extent = viewer.layers["head"].extent.world[:, list(viewer.dims.displayed)]
    camera = viewer.scene.camera
    low, high = (extent - np.array(camera.center)[-2:]) * camera.zoom
    half = np.array(viewer.canvas.size) / 2
    return float(max((high - half).max(), (-half - low).max()))


def shrink(dock, qtbot, width, height):
    viewer = dock.viewer
    before = tuple(viewer.canvas.size)
    viewer.window.resize(width, height)
    qtbot.waitUntil(lambda: tuple(viewer.canvas.size) != before)
    qtbot.wait(50)


def test_a_smaller_window_or_an_open_list_cuts_nothing(dock, qtbot):
    viewer, fit = dock.viewer, dock.session.fit
    for width, height in ((1366, 768), (1000, 500), (1800, 1000)):
        shrink(dock, qtbot, width, height)
        assert fit.whole
        assert outside(viewer) < 0
    tall = viewer.canvas.size[0]
    dock.findings.setChecked(True)
    qtbot.waitUntil(lambda: viewer.canvas.size[0] < tall)
    assert fit.whole
    assert outside(viewer) < 0


@pytest.mark.parametrize("by", ["zoom", "pan"])
def test_a_view_of_the_users_own_stays(dock, qtbot, by):
    viewer, camera = dock.viewer, dock.viewer.scene.camera
    shrink(dock, qtbot, 1366, 768)
    if by == "zoom":
        camera.zoom *= 2.5
    else:
        camera.center = (0.0, camera.center[1] + 40.0, camera.center[2])
    own = camera.zoom, camera.center
    shrink(dock, qtbot, 1000, 600)
    assert (camera.zoom, camera.center) == own
    viewer.fit_to_view()  # as Ctrl+R does
    shrink(dock, qtbot, 1366, 768)
    assert outside(viewer) < 0


def test_a_view_that_was_the_users_before_the_dock_came_stays(show_head, tiny_bundle):
    from napari_vqad.ui.dock import ExplorerDock

    viewer = show_head()
    camera = viewer.scene.camera
    camera.zoom, camera.center = 7.0, (0.0, 11.0, -9.0)
    dock = ExplorerDock(viewer)
    viewer.window.add_dock_widget(dock, name="VQ Anomaly Explorer", area="right")
    assert (camera.zoom, camera.center) == (7.0, (0.0, 11.0, -9.0))
    dock.session.close()


def test_to_3d_and_back_the_slice_stays_and_the_head_is_whole(dock, qtbot):
    viewer = dock.viewer
    viewer.dims.set_point(0, 12.0)
    point = viewer.dims.point
    viewer.dims.ndisplay = 3
    viewer.dims.ndisplay = 2
    assert viewer.dims.point == point
    assert dock.session.fit.whole
    assert outside(viewer) < 0
