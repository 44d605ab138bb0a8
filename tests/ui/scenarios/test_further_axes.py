"""A layer with a further axis, such as time, beside the head: the head's axes are the last three of the viewer's."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QWidget

from napari_vqad.display.readout import read_out
from napari_vqad.ui.layers import placement

TIME = "Over time"


def add_time(viewer):
    """Five times the head, as another reader leaves it: no units, and steps of its own along the further axis."""
    head = viewer.layers["head"]
    data = np.broadcast_to(np.asarray(head.data), (5, *head.data.shape)).copy()
    return viewer.add_image(
        data, name=TIME, scale=(2.0, *head.scale), translate=(0.0, *head.translate), opacity=0.3, visible=True
    )


@pytest.fixture(params=["before", "after"])
def beside(request, explored, idle):
    """The head analysed, and such a layer added before or afterwards."""
    if request.param == "before":
        add_time(explored.viewer)
        explored.start()
        idle(explored)
    else:
        explored.session.go_to(5)
        add_time(explored.viewer)
        assert explored.session.current() == 5
    assert explored.viewer.dims.ndim == 4
    return explored


def canvas_of(dock) -> QWidget:
    return next(w for w in dock.window().findChildren(QWidget) if "CanvasBackend" in type(w).__name__)


def check_slices(dock):
    """Slices are gone to and read where they are, whatever the time."""
    dims, session = dock.viewer.dims, dock.session
    for index in (3, 9):
        session.go_to(index)
        assert session.current() == dock.profile.here == index
        assert dims.point[-3] == pytest.approx(placement.point_of(session.explorer.grid, index), abs=2.1)
    if dims.ndim == 4:
        dims.set_point(0, 6.0)
        assert (session.current(), dims.point[0]) == (9, 6.0)
        session.go_to(4)
        assert (session.current(), dims.point[0]) == (4, 6.0)


def test_slices_while_it_is_there_and_when_it_is_gone(beside):
    check_slices(beside)
    beside.viewer.layers.remove(TIME)
    assert beside.viewer.dims.ndim == 3
    assert beside.session.current() == 4
    check_slices(beside)
    add_time(beside.viewer)
    assert beside.session.current() == 9
    check_slices(beside)


def test_letters_planes_and_cross_hair(beside, qtbot):
    viewer, session, canvas = beside.viewer, beside.session, canvas_of(beside)
    shown = viewer.canvas.overlays
    beside.display.other.setChecked(True)
    planes = beside.display.planes
    qtbot.waitUntil(planes.isVisible)
    for stacked, words in enumerate(("Axial\nradiological", "Coronal\nradiological", "Sagittal")):
        viewer.dims.order = (0, 1 + stacked, *(a + 1 for a in range(3) if a != stacked))
        slice_, *convention = shown["vqad_words"].text.splitlines()
        assert "\n".join([slice_.partition(" ")[0], *convention]) == words
        qtbot.waitUntil(lambda s=stacked: [p.axis for p in planes.pictures] == [a for a in range(3) if a != s])
        viewer.fit_to_view()
        qtbot.wait(100)
        at = QPoint(canvas.width() // 2 + 31, canvas.height() // 2 - 17)
        qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at)
        displayed = list(viewer.dims.displayed)
        pressed, point = np.array(viewer.cursor.position), np.array(viewer.dims.point)
        np.testing.assert_allclose(point[displayed], pressed[displayed], atol=2.1)
        check_cross(viewer)
        picture = planes.pictures[0]
        qtbot.waitUntil(lambda p=picture: bool(p.cuts))
        qtbot.mouseClick(picture, Qt.MouseButton.LeftButton, pos=picture.rect().center() + QPoint(12, 9))
        qtbot.waitUntil(lambda p=picture: np.allclose(p.cross, np.delete(viewer.dims.point[-3:], p.axis)))
        check_cross(viewer)
        assert viewer.dims.point[0] == 0.0
    viewer.dims.order = (1, 2, 0, 3)  # time runs down the picture: no plane of the head is shown
    assert "Cross-hair" not in viewer.layers
    assert not shown["vqad_words"].visible
    viewer.dims.order = (0, 1, 2, 3)
    check_cross(viewer)
    viewer.layers.remove(TIME)
    check_cross(viewer)
    add_time(viewer)
    check_cross(viewer)
    assert session.current() == placement.slice_at(session.explorer.grid, viewer.dims.point)


def check_cross(viewer):
    """The ring is at the viewer's point, in the slice that is shown."""
    cross, dims = viewer.layers["Cross-hair"], viewer.dims
    stacked = 3 - sum(placement.plane_of(dims))
    here = np.array([cross.data_to_world(p) for p in cross.data])
    ring = here[np.abs(here[:, stacked] - dims.point[-3:][stacked]).argmin()]
    np.testing.assert_allclose(np.delete(ring, stacked), np.delete(dims.point[-3:], stacked), atol=1e-3)


def test_the_read_out_is_of_the_place_under_the_mouse(beside, qtbot):
    viewer, explorer, words = beside.viewer, beside.session.explorer, beside.display.words
    canvas = canvas_of(beside)
    viewer.fit_to_view()
    qtbot.wait(100)
    qtbot.mouseMove(canvas, QPoint(canvas.width() // 2 + 20, canvas.height() // 2 - 20))

    def expected():
        (_, a, r), s = viewer.cursor.position[-3:], viewer.dims.point[-3]
        return read_out(explorer, placement.frame_mm("head", (s, a, r))).replace("; R", "\nR").replace("; L", "\nL")

    qtbot.waitUntil(lambda: words.text() == expected())
    viewer.layers.remove(TIME)  # the mouse stays, with the place that it had in four axes
    viewer.dims.set_point(0, viewer.dims.point[0] + 8.0)
    qtbot.waitUntil(lambda: words.text() == expected())


def test_a_finding_is_gone_to(beside, idle):
    session = beside.session
    session.change(pooling="none", min_volume_ml=0.0)
    idle(beside)
    explorer = session.explorer
    session.change(flag_voxels=float(np.percentile(explorer.map("pixel_score")[explorer.grid.mask], 98)))
    beside.findings.setChecked(True)
    finding = session.review.found[0]
    beside.viewer.scene.camera.zoom *= 2  # a view of the user's own
    session.show_finding(finding)
    world = placement.world_of(explorer.scan, finding.centre)
    np.testing.assert_allclose(beside.viewer.dims.point[-3:], world, atol=2.1)
    assert finding.slices[0] <= session.current() <= finding.slices[1]
    np.testing.assert_allclose(beside.viewer.scene.camera.center[-2:], world[-2:], atol=1e-3)
