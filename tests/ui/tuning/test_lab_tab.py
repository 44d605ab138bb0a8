"""The tab Lab through real widgets: clicks on the canvas, undo, painting, closing layers, studies."""

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Image, Labels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_vqad.export.study import save_study

EDITED, LABEL = "head (edited)", "head (edited), label"


@pytest.fixture
def tab(explored, qtbot, idle):
    """The tab, shown, in a window with the small head analysed."""
    explored.tuning.setChecked(True)
    tab = explored.bench.pages["Lab"]
    explored.bench.tabs.setCurrentWidget(tab)
    qtbot.waitUntil(tab.isVisible)
    tab.refresh()
    tab.form.radius.setValue(12)
    tab.form.softness.setValue(0)
    yield tab
    tab._end()
    if tab.clear_all.isEnabled():  # back to the original, whose analysis is kept
        tab.clear_all.click()
        idle(explored)
    tab.lab = None
    tab.form.kind.setCurrentIndex(0)
    explored.tuning.setChecked(False)
    qtbot.wait(50)  # until the window can have its size again


@pytest.fixture
def click(qtbot):
    """Click on the canvas, so many pixels right of and below its middle; wait for the analysis to end."""

    def press(x=0, y=0):
        canvas = _canvas()
        at = QPoint(canvas.width() // 2 + x, canvas.height() // 2 + y)
        qtbot.mouseMove(canvas, at)
        qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at)

    return press


def _canvas() -> QWidget:
    windows = [w for w in QApplication.topLevelWidgets() if w.isVisible()]
    return next(w for top in windows for w in top.findChildren(QWidget) if "CanvasBackend" in type(w).__name__)


def test_a_click_puts_the_anomaly_where_the_picture_was_clicked_in_every_plane(explored, tab, click, idle, qtbot):
    viewer, session = explored.viewer, explored.session
    volume, original = session.explorer.scan, session.explorer
    tab.place.click()
    planes = ((0, 1, 2), (31, -20)), ((1, 0, 2), (-28, 14)), ((2, 1, 0), (12, 33))
    for n, (order, (x, y)) in enumerate(planes, start=1):
        viewer.dims.order = order
        viewer.fit_to_view()
        qtbot.wait(100)
        click(x, y)
        at = tuple(viewer.cursor.position)
        idle(explored)
        assert len(tab.lab.done) == n
        assert viewer.layers[LABEL].get_value(at, world=True) == n
        grey = tab.lab.grey
        assert viewer.layers[EDITED].get_value(at, world=True) == pytest.approx(grey.mean + 2 * grey.sd, rel=1e-5)
        assert viewer.layers["head"].get_value(at, world=True) != viewer.layers[EDITED].get_value(at, world=True)
    assert session.explorer.scan.source is volume
    assert len({edit.shape.centre for edit in tab.lab.done}) == 3
    assert tab.list.count() == 3
    assert original.complete
    tab.place.click()


def test_a_disc_lies_in_the_plane_that_is_shown(explored, tab, click, idle, qtbot):
    viewer = explored.viewer
    tab.form.shape.setCurrentIndex(1)
    viewer.dims.order = (2, 0, 1)  # transposed: rows run down the picture as columns
    viewer.fit_to_view()
    qtbot.wait(100)
    tab.place.click()
    click(20, 11)
    at = tuple(viewer.cursor.position)
    idle(explored)
    tab.form.shape.setCurrentIndex(0)
    (edit,) = tab.lab.done
    assert (edit.shape.form, edit.shape.axis) == ("disc", 0)
    label = viewer.layers[LABEL]
    assert label.get_value(at, world=True) == 1
    assert label.data.any((0, 1)).sum() == 1  # one sagittal slice: the model's slices are as thick as the scan's


def test_undo_redo_clear_and_the_original(explored, tab, click, idle):
    session, viewer, dock = explored.session, explored.viewer, explored
    before, maps = session.explorer, dict(session.map_layers.layers)
    tab.place.click()
    click()
    idle(dock)
    click(30, 20)
    idle(dock)
    tab.place.click()
    assert dock.subject.scan.text() == f"Shown: {EDITED}"
    assert dock.subject.edited.text() == "Edited scan: 2 anomalies put in."
    assert dock.subject.edited.isVisibleTo(dock)
    assert "It is not the patient's scan." in session.note
    assert session.map_layers.layers == maps  # napari takes a second for new layers
    tab.undo.click()
    idle(dock)
    assert session.explorer.scan.edited.headline == "Edited scan: 1 anomaly put in"
    assert viewer.layers[LABEL].data.max() == 1
    tab.redo.click()
    idle(dock)
    assert viewer.layers[LABEL].data.max() == 2
    tab.original.click()
    idle(dock)
    assert session.explorer is before
    assert dock.subject.scan.text() == "Shown: head"
    assert not dock.subject.edited.isVisibleTo(dock)
    assert dock.subject.asks.text() == ""
    assert not viewer.layers[EDITED].visible
    assert viewer.layers["head"].visible
    tab.original.click()
    idle(dock)
    assert viewer.layers[EDITED].visible
    tab.clear_all.click()
    idle(dock)
    assert session.explorer is before
    assert EDITED not in viewer.layers
    assert LABEL not in viewer.layers
    assert tab.list.count() == 0
    assert tab.redo.isEnabled()


def test_verdicts_of_the_original_are_kept_apart(explored, tab, click, idle):
    session = explored.session
    explored.findings.setChecked(True)
    session.change(flag_voxels=0.5)
    idle(explored)
    finding = session.review.found[0]
    session.review.set_verdict(finding, "accepted")
    said = session.review.annotations
    tab.place.click()
    click()
    idle(explored)
    assert session.review.annotations == {}
    tab.original.click()
    idle(explored)
    assert session.review.annotations == said


def test_a_click_beside_the_brain_is_refused_and_escape_ends_placing(explored, tab, click, idle, qtbot):
    tab.place.click()
    click()
    idle(explored)
    done, explorer = tab.lab.done, explored.session.explorer
    assert explored.viewer.cursor.style == "crosshair"
    canvas = _canvas()
    click(-canvas.width() // 2 + 4, -canvas.height() // 2 + 4)
    assert "outside" in tab.hint.text()
    assert tab.lab.done == done
    assert explored.session.explorer is explorer
    qtbot.keyClick(canvas, Qt.Key.Key_Escape)
    assert not tab.place.isChecked()
    assert explored.viewer.cursor.style != "crosshair"
    click(9, 9)
    assert tab.lab.done == done


def test_in_3d_no_place_is_taken(explored, tab, click):
    explored.viewer.dims.ndisplay = 3
    tab.place.click()
    click()
    assert "in 2D" in tab.hint.text()
    assert tab.lab.done == ()


def test_a_patch_takes_two_clicks(explored, tab, click, idle):
    tab.form.kind.setCurrentIndex(tab.form.kind.findData("patch"))
    tab.place.click()
    click(30, 0)
    assert tab.lab.done == ()
    click(-30, 0)
    idle(explored)
    (edit,) = tab.lab.done
    taken, put = np.array(edit.taken_from), np.array(edit.shape.centre)
    assert edit.scan is None
    assert (taken - put)[0] < -20  # the patient's right is on the left of the picture
    offset = np.rint((taken - put) / tab.lab.original.spacing).astype(int)
    edited = explored.session.explorer.scan
    for voxel in np.argwhere(edited.edited.label):
        assert edited.voxels[tuple(voxel)] == tab.lab.original.voxels[tuple(voxel + offset)]


def test_a_patch_from_another_open_scan(explored, tab, click, idle, head, qtbot, monkeypatch):
    from dataclasses import replace

    from napari_vqad.tuning import lab as module
    from napari_vqad.ui.files.readers import scan_layer

    other = replace(head[0], voxels=head[0].voxels[::-1].copy() + 40, name="other")
    data, attributes, _ = scan_layer(other)
    explored.viewer.add_image(data, **attributes)
    explored.inputs.scan.pick(explored.viewer.layers["head"])
    monkeypatch.setattr(module, "make_mask", lambda volume: (volume.voxels > 300, ""))
    tab.refresh()
    tab.form.kind.setCurrentIndex(tab.form.kind.findData("patch"))
    tab.form.source.setCurrentIndex(1)
    tab.place.click()
    assert [m.name for m in explored.viewer.layers if m.visible] == ["other"]
    click(20, 0)
    qtbot.waitUntil(lambda: "Now click" in tab.hint.text())
    assert explored.viewer.layers["head"].visible
    click(-20, 0)
    idle(explored)
    (edit,) = tab.lab.done
    assert edit.scan.name == "other"
    tab.place.click()
    explored.viewer.layers.remove("other")


def test_a_painted_mask_is_put_in(explored, tab, idle):
    viewer = explored.viewer
    tab.paint.click()
    layer = viewer.layers["Painted anomaly"]
    assert isinstance(layer, Labels)
    assert layer.mode == "paint"
    tab.paint.click()
    assert "is empty" in tab.hint.text()
    assert tab.paint.isChecked()
    layer.paint((14, 15, 14), 1)
    assert layer.data.any()
    inside = layer.data[::-1, ::-1, ::-1] if layer.scale[0] > 0 else layer.data
    wanted = (inside > 0) & tab.lab.mask.transpose(2, 1, 0)
    tab.paint.click()
    idle(explored)
    assert "Painted anomaly" not in viewer.layers
    assert np.array_equal(viewer.layers[LABEL].data > 0, wanted)
    assert tab.list.item(0).text().startswith("1. Constant intensity, +2.0 SD of the brain")


def test_closing_the_edited_layer_ends_its_analysis_and_redo_brings_it_back(explored, tab, click, idle, qtbot):
    viewer = explored.viewer
    tab.place.click()
    click()
    idle(explored)
    done = tab.lab.done
    viewer.layers.remove(EDITED)
    assert explored.session.explorer is None
    qtbot.waitUntil(lambda: LABEL not in viewer.layers)
    assert tab.list.count() == 0
    explored.inputs.scan.pick(viewer.layers["head"])
    explored.start()
    idle(explored)
    tab.refresh()
    assert tab.lab.done == ()
    tab.redo.click()
    idle(explored)
    assert tab.lab.done == done
    assert isinstance(viewer.layers[EDITED], Image)


def test_a_study_of_an_edited_scan_is_opened_and_can_be_undone(explored, tab, click, idle, tmp_path: Path):
    session, viewer = explored.session, explored.viewer
    original = session.explorer.scan
    tab.place.click()
    click()
    idle(explored)
    tab.place.click()
    path, done = tmp_path / "edited.vqad", tab.lab.done
    save_study(path, session.explorer, session.prepared.mask)
    score = session.explorer.map("pixel_score").copy()
    tab.clear_all.click()
    idle(explored)
    tab.lab = None
    session.scans()
    session.reopen(path, original, [session.explorer.bundle.folder], "cpu")
    idle(explored)
    assert EDITED in viewer.layers
    assert viewer.layers[LABEL].data.any()
    assert explored.subject.edited.text() == "Edited scan: 1 anomaly put in."
    assert np.array_equal(session.explorer.map("pixel_score"), score)
    tab.refresh()
    assert tab.lab.done == done
    tab.undo.click()
    idle(explored)
    assert session.explorer.scan is original
    assert EDITED not in viewer.layers
