"""Window, flicker, conventions, read-out, planes and keys in a real viewer."""

import re
import time
from pathlib import Path

import numpy as np
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QWidget

from napari_vqad.display.readout import read_out
from napari_vqad.display.window import PRESETS, in_words
from napari_vqad.imaging.volume import Volume
from napari_vqad.ui.canvas import flicker
from napari_vqad.ui.canvas.window_level import KEYS
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import DARK
from napari_vqad.ui.plumbing import shortcuts


def canvas_of(dock) -> QWidget:
    """The widget that hears keys and mouse of the viewer."""
    return next(w for w in dock.window().findChildren(QWidget) if "CanvasBackend" in type(w).__name__)


def in_sd(dock) -> list[np.ndarray]:
    """The windows of scan and restorations, in SD."""
    map_layers = dock.session.map_layers
    mean, sd = map_layers._grey
    scan = (np.array(map_layers.scan.contrast_limits) - mean) / sd
    return [scan, *(np.array(map_layers.layers[n].contrast_limits) for n in ("restoration", "restoration_j"))]


# ---- letters and conventions ------------------------------------------------------------------------------------


def test_the_right_side_is_drawn_where_the_letter_says(dock, qtbot):
    """Seen on the screen: a bright block at the patient's right lights the half of the picture with the R."""
    viewer = dock.viewer
    scan, shown = viewer.layers["head"], viewer.canvas.overlays
    viewer.layers["ball"].visible = False
    scan.data = np.zeros_like(scan.data)
    scan.data[8:20, 8:24, 24:] = 1000  # (S, A, R)
    scan.contrast_limits = (0, 1000)
    scan.refresh()
    canvas_of(dock).setFocus()
    for order in ((0, 1, 2), (1, 0, 2)):
        viewer.dims.order = order
        viewer.dims.set_point(order[0], scan.extent.world.mean(0)[order[0]])
        for _ in range(2):
            viewer.fit_to_view()
            picture = viewer.screenshot(canvas_only=True, flash=False)[..., 0].astype(float)
            middle = picture[picture.shape[0] // 3 : -picture.shape[0] // 3, 40:-40]  # without the letters
            halves = middle[:, : middle.shape[1] // 2].sum(), middle[:, middle.shape[1] // 2 :].sum()
            bright = "left" if halves[0] > halves[1] else "right"
            assert max(halves) > 5 * min(halves)
            assert shown[f"vqad_{bright}"].text == "R"
            qtbot.keyClick(canvas_of(dock), shortcuts.TURN)
    assert not dock.display.sides.isChecked()
    assert shown["scale_bar"].visible


def test_without_a_head_there_are_no_letters(dock):
    shown = dock.viewer.canvas.overlays
    assert re.fullmatch(r"Axial \d+, [SI] \d+ mm\nradiological", shown["vqad_words"].text)
    dock.viewer.layers.clear()
    assert not any(shown[f"vqad_{n}"].visible for n in ("left", "right", "top", "bottom", "words"))
    assert not shown["scale_bar"].visible


# ---- window -----------------------------------------------------------------------------------------------------


def test_one_window_for_scan_and_restorations(explored, qtbot):
    canvas = canvas_of(explored)
    canvas.setFocus()
    for name, key in KEYS.items():
        window = PRESETS[name].window
        qtbot.keyClick(canvas, key)
        for found in in_sd(explored):
            np.testing.assert_allclose(found, window, atol=1e-3)
    low, high = explored.session.map_layers.scan.contrast_limits
    explored.session.map_layers.scan.contrast_limits = (low + 30, high - 50)  # napari's own slider
    scan, *others = in_sd(explored)
    assert all(np.allclose(scan, o, atol=1e-3) for o in others)
    for name in ("restoration", "restoration_j"):
        explored.session.map_layers.layers[name].contrast_limits = (-1.5, len(name))  # the slider of a restoration
        assert all(np.allclose(found, (-1.5, len(name)), atol=1e-3) for found in in_sd(explored))
        assert explored.session.map_layers.window == (-1.5, len(name))
    explored.session.map_layers.set_window((-8.0, 3.0))  # a restoration is clear beyond the brain in any window
    assert explored.session.map_layers.layers["restoration"].contrast_limits == [DARK, 3.0]


def test_shift_and_drag_sets_the_window_and_says_so(explored, qtbot):
    canvas, map_layers, camera = canvas_of(explored), explored.session.map_layers, explored.viewer.scene.camera
    words = explored.viewer.canvas.overlays["vqad_words"]
    centre, zoom = camera.center, camera.zoom
    x, y, shift = canvas.width() // 2, canvas.height() // 2, Qt.KeyboardModifier.ShiftModifier
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, shift, QPoint(x, y))
    drag_to(canvas, QPoint(x + 60, y - 30), shift)
    qtbot.waitUntil(lambda: "Window" in words.text, timeout=2000)
    wide, level = 5.0 * 2 ** (60 / 200), 5.0 * 30 / 200
    assert words.text == in_words(map_layers.window) == f"Window {wide:.1f}, level {level:+.1f} SD"
    qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, shift, QPoint(x + 60, y - 30))
    assert re.fullmatch(r"Axial \d+, [SI] \d+ mm\nradiological", words.text)
    assert (camera.center, camera.zoom) == (centre, zoom)
    scan, *others = in_sd(explored)
    assert all(np.allclose(scan, o, atol=1e-3) for o in others)


def drag_to(widget, place, modifiers) -> None:
    """Move the mouse with the left button down; QTest's own move tells of no button."""
    from qtpy.QtCore import QEvent, QPointF
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtWidgets import QApplication

    at, left = QPointF(place), Qt.MouseButton.LeftButton
    move = QMouseEvent(QEvent.Type.MouseMove, at, widget.mapToGlobal(at), Qt.MouseButton.NoButton, left, modifiers)
    QApplication.sendEvent(widget, move)


# ---- flicker ----------------------------------------------------------------------------------------------------


def test_flicker_alternates_and_ends_with_the_view(explored, qtbot, monkeypatch):
    assert 1000 / (2 * flicker.HALF) < 3  # there and back; more can do harm
    canvas, layer = canvas_of(explored), explored.session.map_layers.layers["restoration"]
    canvas.setFocus()
    qtbot.keyClick(canvas, shortcuts.FLICKER)
    assert explored.view_name() == "Restoration"
    seen, began = [layer.visible], time.monotonic()
    while time.monotonic() - began < 2.2:
        qtbot.wait(20)
        if layer.visible != seen[-1]:
            seen.append(layer.visible)
    assert 4 <= len(seen) <= 11
    explored.show_view("Score")
    qtbot.waitUntil(lambda: not explored.display.flicker.isChecked(), timeout=2000)
    assert explored.session.map_layers.layers["pixel_score"].visible
    assert not layer.visible

    qtbot.keyClick(canvas, shortcuts.FLICKER)
    qtbot.keyPress(canvas, shortcuts.ORIGINAL)  # to look at the scan ends it
    assert not explored.display.flickering.running
    qtbot.keyRelease(canvas, shortcuts.ORIGINAL)
    assert layer.visible


def test_flicker_ends_when_the_window_closes(explored, capsys):
    ended = []
    explored.display.flickering.stopped.connect(lambda: ended.append(1))
    explored.display.flicker.setChecked(True)
    assert explored.display.flickering.running
    explored.viewer.close()
    assert ended == [1]
    assert "Traceback" not in capsys.readouterr().err


# ---- read-out ---------------------------------------------------------------------------------------------------


def test_it_says_what_is_under_the_mouse_in_every_plane(explored, qtbot):
    viewer, explorer, words = explored.viewer, explored.session.explorer, explored.display.words
    canvas = canvas_of(explored)
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        viewer.dims.order = order
        viewer.fit_to_view()
        place = QPoint(canvas.width() // 2 + 9 * order[0], canvas.height() // 2 + 12)
        qtbot.mouseMove(canvas, place)
        qtbot.waitUntil(lambda: "NLL" in words.text(), timeout=2000)
        viewer.dims.set_point(order[0], viewer.dims.point[order[0]] + 8)  # another slice, the mouse at rest
        qtbot.wait(250)
        point = [p if d == order[0] else viewer.cursor.position[d] for d, p in enumerate(viewer.dims.point)]
        assert words.text().replace("\n", "; ") == read_out(explorer, -np.array(point)[::-1])
        assert words.text().endswith(" mm")
        words.setText("")


# ---- the other planes -------------------------------------------------------------------------------------------


def test_planes_show_the_other_two_and_go_where_one_presses(explored, qtbot):
    viewer, planes, volume = explored.viewer, explored.display.planes, explored.session.explorer.scan
    canvas_of(explored).setFocus()
    qtbot.keyClick(canvas_of(explored), shortcuts.PLANES)
    qtbot.waitUntil(lambda: planes.isVisible() and bool(planes.pictures[0].cuts), timeout=3000)
    assert [p.axis for p in planes.pictures] == [1, 2]
    coronal = planes.pictures[0]
    for neurological in (False, True):
        explored.display.sides.setChecked(neurological)
        mm = np.array([20.0, 2.0, -14.0])  # the patient's right, below the middle
        s, _, r = placement.world_of(volume, tuple(mm))
        at = coronal.place(s, r)
        assert (at.x() < coronal.width() / 2) == (not neurological)
        assert at.y() > coronal.height() / 2
        qtbot.mouseClick(coronal, Qt.MouseButton.LeftButton, pos=at.toPoint())
        np.testing.assert_allclose(np.array(viewer.dims.point)[[0, 2]], (s, r), atol=4.0)
    viewer.dims.order = (2, 0, 1)
    assert [p.axis for p in planes.pictures] == [0, 1]


def test_a_click_on_the_canvas_goes_there_and_the_cross_follows(explored, qtbot):
    viewer, canvas = explored.viewer, canvas_of(explored)
    steps, active = viewer.dims.range, viewer.layers.selection.active
    explored.display.other.setChecked(True)
    assert viewer.dims.range == steps  # the slider stops where it did
    assert viewer.layers.selection.active is active
    viewer.fit_to_view()
    qtbot.wait(100)
    for order in ((0, 1, 2), (2, 0, 1)):
        viewer.dims.order = order
        viewer.fit_to_view()
        stack = viewer.dims.point[order[0]]
        qtbot.mouseClick(
            canvas, Qt.MouseButton.LeftButton, pos=QPoint(canvas.width() // 2 + 31, canvas.height() // 2 - 17)
        )
        pressed, point = np.array(viewer.cursor.position), np.array(viewer.dims.point)
        displayed = list(viewer.dims.displayed)
        np.testing.assert_allclose(point[displayed], pressed[displayed], atol=2.1)  # slices of 4 mm
        assert point[order[0]] == stack
        assert np.ptp(point[displayed] - np.array(viewer.scene.camera.center)[-2:]) > 4
        for at in (stack, stack + 8):  # in every slice
            viewer.dims.set_point(order[0], at)
            cross = viewer.layers["Cross-hair"]
            seen = cross.data[np.abs(cross.data[:, order[0]] - cross.world_to_data(viewer.dims.point)[order[0]]) < 0.1]
            np.testing.assert_allclose(cross.data_to_world(seen[0])[displayed[0]], point[displayed[0]], atol=0.1)
            np.testing.assert_allclose(cross.data_to_world(seen[0])[displayed[1]], point[displayed[1]], atol=0.1)
    explored.beside.setChecked(True)  # it would take a cell
    assert "Cross-hair" not in viewer.layers
    explored.beside.setChecked(False)
    assert "Cross-hair" in viewer.layers
    explored.display.other.setChecked(False)
    assert "Cross-hair" not in viewer.layers


def test_the_cross_is_on_another_scans_own_voxels(explored, qtbot):
    """The layer of the scan before has another spacing: in it the ring would lie elsewhere, and stretch the sliders."""
    viewer = explored.viewer
    explored.display.other.click()
    volume = explored.session.explorer.scan
    fine = Volume(
        np.repeat(volume.voxels, 2, 0), volume.affine @ np.diag([0.5, 1, 1, 1]), volume.file_affine, name="fine"
    )
    data, about, _ = scan_layer(fine)
    viewer.add_image(data, **about)
    explored.inputs.scan.pick(viewer.layers["fine"])
    explored.inputs.brain.pick(None)
    viewer.layers.remove("head")
    explored.session.map_layers.clear()
    explored.session.explorer = None
    explored.display.refresh()
    viewer.dims.set_point(2, viewer.layers["fine"].extent.world[0, 2] + 20.0)
    cross = viewer.layers["Cross-hair"]
    np.testing.assert_allclose(cross.scale, viewer.layers["fine"].scale)
    seen = cross.data_to_world(cross.data[0])
    np.testing.assert_allclose(np.array(seen)[[1, 2]], np.array(viewer.dims.point)[[1, 2]], atol=1e-3)
    viewer.dims.ndisplay = 3
    assert "Cross-hair" not in viewer.layers
    viewer.dims.ndisplay = 2
    viewer.layers.select_all()
    viewer.layers.remove_selected()
    qtbot.waitUntil(lambda: not explored.display.other.isChecked())


def test_a_plane_is_true_in_mm_and_shows_the_voxel_at_its_place(explored):
    """The brightest voxel of a slice is drawn bright where the world says it lies."""
    from napari_vqad.ui.canvas.reslice import reslice

    scan = explored.session.map_layers.scan
    data = np.zeros_like(scan.data)
    data[20, 5, 3] = 1000.0
    scan.data, scan.contrast_limits = data, (0, 1000)
    world = scan.data_to_world((20, 5, 3))
    for axis in range(3):
        rows, columns = (a for a in range(3) if a != axis)
        image, where = reslice(scan, axis, world[axis])
        column = int((world[columns] - where.left()) / where.width() * image.width())
        row = int((world[rows] - where.top()) / where.height() * image.height())
        assert image.pixelColor(column, row).red() == 255
        assert sum(image.pixelColor(x, y).red() for x in range(image.width()) for y in range(image.height())) == 255
        np.testing.assert_allclose((where.width() / image.width(), where.height() / image.height()), 4.0)
        assert reslice(scan, axis, world[axis] + 1000) is None


# ---- boxes ------------------------------------------------------------------------------------------------------


def test_boxes_hold_their_findings_in_every_plane(explored, qtbot, idle):
    session = explored.session
    session.change(pooling="none", min_volume_ml=0.0)
    idle(explored)
    explorer, canvas = session.explorer, canvas_of(explored)
    high = float(np.percentile(explorer.map("pixel_score")[explorer.grid.mask], 98))
    session.change(flag_voxels=high)
    canvas.setFocus()
    active = explored.viewer.layers.selection.active
    qtbot.keyClick(canvas, shortcuts.BOXES)
    layer, found = explored.viewer.layers["Finding boxes"], session.review.found
    assert len(found) > 1
    assert layer.visible
    assert layer.contour == 1
    assert explored.viewer.layers.selection.active is active
    drawn = np.asarray(layer.data)
    for finding in found[:5]:
        first, last = finding.piece.indices.min(0), finding.piece.indices.max(0)
        world = placement.world_of(explorer.scan, finding.centre)
        assert drawn[tuple(np.rint(layer.world_to_data(world)).astype(int))] > 0
        on_axes = explorer.grid.axes_index(np.array([first, last]))[:, ::-1]  # (S, A, R)
        held = drawn[tuple(slice(a, b + 1) for a, b in zip(*on_axes, strict=True))]
        assert (held > 0).all()
    weightiest = np.argwhere(drawn == 1)
    expected = explorer.grid.axes_index(found[0].piece.indices)[:, ::-1]
    np.testing.assert_array_equal(weightiest.min(0), np.maximum(expected.min(0) - 1, 0))
    np.testing.assert_array_equal(weightiest.max(0), np.minimum(expected.max(0) + 1, np.array(drawn.shape) - 1))

    session.change(flag_voxels=1e9)  # nothing is flagged, and nothing is boxed
    assert not np.asarray(layer.data).any()
    qtbot.keyClick(canvas, shortcuts.BOXES)
    assert not layer.visible


# ---- keys -------------------------------------------------------------------------------------------------------


def ours() -> list[str]:
    """Keys that are ours on the canvas."""
    named = (
        shortcuts.NEXT,
        shortcuts.PREVIOUS,
        shortcuts.NEXT_FINDING,
        shortcuts.PREVIOUS_FINDING,
        shortcuts.ORIGINAL,
        shortcuts.FLICKER,
    )
    return [
        *named,
        shortcuts.TURN,
        shortcuts.PLANES,
        shortcuts.BOXES,
        shortcuts.HELP,
        *KEYS.values(),
    ]


def test_no_layer_type_takes_our_keys():
    taken = {str(binding) for bindings in default_shortcuts.values() for binding in bindings}
    assert "P" in taken  # that is how they are written there
    assert not {shortcuts.napari_form(k).replace("-", "+") for k in ours()} & taken
    assert len(set(ours())) == len(ours())


def test_every_key_is_on_the_sheet_and_in_the_readme(dock, qtbot):
    written = {part for rows in shortcuts.SHEET.values() for key, _ in rows for part in re.split(r"\s+", key)}
    assert {*ours(), shortcuts.ACCEPT, shortcuts.REJECT, shortcuts.UNDO} <= written
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    for key in (*ours(), shortcuts.ACCEPT, shortcuts.REJECT, shortcuts.UNDO):
        assert f"`{key}`" in readme, key
    bound = {str(b) for b in dock.viewer.keymap}
    assert {shortcuts.napari_form(k).replace("-", "+") for k in ours()} <= bound
    box = shortcuts.show_sheet(dock)
    assert all(does in box.text() for rows in shortcuts.SHEET.values() for _, does in rows)
    box.close()
