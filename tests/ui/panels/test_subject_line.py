"""Whatever is shown belongs to one scan and one model, which are named; with the scan goes all that was found in it."""

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.display.views import layer_name
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.fitness import Fitness
from napari_vqad.ui import session as session_module
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.layers.map_layers import MASK_NAME
from napari_vqad.ui.panels.subject_line import NOTHING

NAMES = {"mask": MASK_NAME} | {n: layer_name(s) for n, s in Dependencies(VQDetector).maps.items()}


def add(dock, volume, name="other"):
    """Another scan in the viewer, which is then the chosen one."""
    data, attributes, _ = scan_layer(replace(volume, voxels=volume.voxels.copy(), name=name))
    dock.viewer.add_image(data, **attributes)
    return dock.viewer.layers[name]


def assert_empty(dock, qtbot):
    """Nothing of the scan that is gone is left, in numbers or in pictures, and nothing can be written of it."""
    session, hand = dock.session, dock.export_menu
    assert session.explorer is None
    assert session.prepared is None
    assert (dock.subject.scan.text(), dock.subject.model.text()) == (NOTHING, "")
    assert not dock.subject.asks.isVisibleTo(dock)
    assert dock.count.text() == ""
    assert len(dock.profile.scores) == 0
    assert "Ready" not in dock.status.text()
    assert "Brain mask" not in dock.status.text()
    assert session.review.found == []
    assert session.review.annotations == {}
    assert not session.review.undo()
    assert dock.lists.slices.table.rowCount() == dock.lists.gallery.pictures.count() == 0
    assert dock.lists.findings_table.order.rowCount() == 0
    assert "flagged" not in dock.lists.findings_table.words.text()
    assert not dock.legend.isVisible()
    assert dock.display.words.text() == ""
    assert not any(action.isEnabled() for action in (hand.report, hand.save, hand.maps))
    for widget in (dock.views_row, dock.which, dock.findings, dock.next, dock.previous, dock.cancel):
        assert not widget.isEnabled()
    ours = {*NAMES.values(), "Finding boxes"}
    assert not [m.name for m in dock.viewer.layers if m.name in ours and m.visible]
    qtbot.waitUntil(lambda: not ours & {m.name for m in dock.viewer.layers}, timeout=2000)


@pytest.fixture
def read(explored):
    """Analysed, its findings listed and boxed, one of them accepted; the slices and restorations were looked at."""
    session = explored.session
    session.change(pooling="none", min_volume_ml=0.0, flag_slices=0.0, flag_voxels=0.2)
    explored.findings.setChecked(True)
    for tab in (1, 2, 0):
        explored.lists.tabs.setCurrentIndex(tab)
    explored.display.box.setChecked(True)
    session.review.set_verdict(session.review.found[0], "accepted")
    return explored


def test_the_line_names_what_is_shown_and_says_in_amber_what_is_chosen(explored, head, tiny_masked, monkeypatch):
    monkeypatch.setattr(Explorer, "fitness", lambda _: Fitness())  # a head of the tests is no adult's
    subject = explored.subject
    subject.warn("")
    asks = subject.asks
    assert (subject.scan.text(), subject.model.text()) == ("Shown: head", "Model: Tiny")
    explored.verticalScrollBar().setValue(explored.verticalScrollBar().maximum())
    assert subject.isVisible()
    assert subject.scan.isVisible()
    assert subject.scan.visibleRegion().boundingRect().height() >= subject.scan.fontMetrics().height()
    assert subject.height() >= subject.sizeHint().height() > 20
    assert subject.geometry().bottom() < explored.viewport().geometry().top()
    assert not asks.isVisible()

    other = add(explored, head[0])
    assert explored.inputs.scan.value is other
    assert subject.scan.text() == "Shown: head"
    assert asks.text() == "Chosen: other. Press Analyse."
    assert asks.isVisible()
    assert asks.geometry().bottom() <= subject.height()
    explored.inputs.bundle.box.addItem("Tiny, masked", tiny_masked)
    explored.inputs.bundle.pick(tiny_masked)
    assert asks.text() == "Chosen: other, model Tiny, masked. Press Analyse."
    other.name = "patient 8"
    assert asks.text() == "Chosen: patient 8, model Tiny, masked. Press Analyse."
    explored.inputs.scan.pick(explored.viewer.layers["head"])
    assert asks.text() == "Chosen: model Tiny, masked. Press Analyse."
    explored.inputs.bundle.pick(explored.session.explorer.bundle.folder)
    assert not asks.isVisible()
    explored.session.change(axis="coronal")
    assert asks.text() == "Chosen: coronal slices. Press Analyse."
    explored.session.change(axis="axial")
    assert not asks.isVisible()

    explored.viewer.layers["head"].name = "patient 7"
    assert subject.scan.text() == "Shown: patient 7"
    assert [text for text, _ in explored.inputs.scan.items()] == ["patient 7", "patient 8"]
    before = explored.viewport().geometry().top()
    subject.warn("The picture is not a T1 head.")
    assert subject.warning.isVisible()
    assert explored.viewport().geometry().top() > before
    explored.viewer.layers.remove("patient 7")
    assert not subject.warning.isVisible()


def test_with_the_scan_goes_all_that_was_found_in_it(read, head, qtbot):
    add(read, head[0])
    read.viewer.layers.remove("head")
    assert_empty(read, qtbot)
    assert "'head' was removed" in read.status.text()
    assert {m.name for m in read.viewer.layers} == {"other", "ball"}
    read.show_view("Score")  # a key or a script may still ask for it
    read.session.go_to(3)
    read.session.go_to_flagged(1)
    read.session.change(k=1.0)


@pytest.mark.parametrize("take", ["clear", "slice"])
def test_whatever_way_it_goes(read, take, qtbot):
    layers = read.viewer.layers
    if take == "clear":
        layers.clear()
    else:
        del layers[:3]  # with two of what lies above it: a list that napari is just going through
    assert_empty(read, qtbot)


def test_data_that_were_put_into_the_layer_are_what_is_analysed(explored, idle, qtbot):
    layer = explored.viewer.layers["head"]
    layer.data = layer.data[::-1].copy()
    assert_empty(explored, qtbot)
    explored.start()
    idle(explored)
    volume = explored.session.explorer.scan
    np.testing.assert_array_equal(volume.voxels, layer.data.transpose(2, 1, 0))
    assert "data were replaced" in explored.status.text()


def test_the_scan_goes_in_mid_work(dock, slow, qtbot):
    dock.start()
    qtbot.waitUntil(lambda: dock.status.text().startswith("Restorations"), timeout=10_000)
    explorer = dock.session.explorer
    dock.viewer.layers.remove("head")
    assert_empty(dock, qtbot)
    done = explorer.ready("restoration").sum()
    qtbot.wait(500)  # a last step, and the end, are not heard
    assert explorer.ready("restoration").sum() <= done + 1
    assert_empty(dock, qtbot)
    assert not dock.session._runner.running


def test_the_scan_goes_while_its_mask_is_made(explored, head, qtbot, monkeypatch):
    """What was explored before stays; what comes of the scan that is gone is not heard."""
    from threading import Event

    begun, go_on, made = Event(), Event(), session_module.given_mask

    def slowly(mask, volume):
        begun.set()
        go_on.wait(10)
        return made(mask, volume)

    monkeypatch.setattr(session_module, "given_mask", slowly)
    before, other = explored.session.explorer, add(explored, head[0])
    explored.inputs.brain.pick(explored.viewer.layers["ball"])
    explored.start()
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    explored.viewer.layers.remove(other)
    assert explored.analyse.isEnabled()
    go_on.set()
    qtbot.wait(500)
    assert explored.session.explorer is before
    assert explored.subject.scan.text() == "Shown: head"
    assert "'other' was removed" in explored.status.text()


def test_of_two_scans_with_one_name_the_right_one_is_meant(explored, head, idle, qtbot):
    """napari tells them apart; so must what belongs to them."""
    volume = head[0]
    data, attributes, _ = scan_layer(replace(volume, voxels=volume.voxels * 2, name="head"))
    explored.viewer.add_image(data, **attributes)
    twin = explored.viewer.layers["head [1]"]
    explored.start()
    idle(explored)
    assert explored.session.scan is twin
    assert explored.subject.scan.text() == "Shown: head [1]"
    explored.viewer.layers.remove("head")
    assert explored.session.explorer is not None
    explored.viewer.layers.remove(twin)
    assert_empty(explored, qtbot)


def test_an_array_of_another_reader_is_known_by_its_layer(dock, head, idle, qtbot):
    """Its name may have been another one's."""
    volume = head[0]
    _, attributes, _ = scan_layer(volume)
    place = {k: v for k, v in attributes.items() if k in ("scale", "translate", "units", "axis_labels")}
    layer = dock.viewer.add_image(volume.voxels.transpose(2, 1, 0).copy(), name="plain", **place)
    dock.start()
    layer.name = "renamed"
    idle(dock)
    assert dock.session.scan is layer
    assert dock.subject.scan.text() == "Shown: renamed"
    dock.viewer.layers.remove(layer)
    assert_empty(dock, qtbot)


def test_no_report_of_a_scan_that_went_while_the_dialog_was_open(read, head, qtbot, monkeypatch, tmp_path, notices):
    path = tmp_path / "report.html"

    def ask(*_):
        read.viewer.layers.remove("head")
        return str(path), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    read.export_menu.write_report()
    qtbot.wait(300)
    assert not path.exists()
    assert notices == ["Nothing was written: the scan was changed while the dialog was open."]


def test_a_comparison_ends_with_its_scan(explored, comparison, compare_all, qtbot):
    widget = comparison(explored.viewer)
    widget.inputs.brain.pick(explored.viewer.layers["ball"])
    compare_all(widget)
    explored.viewer.layers.remove("head")
    assert "'head' was removed" in widget.status.text()
    assert not [m.name for m in explored.viewer.layers if m.visible and m.name != "ball"]
    qtbot.waitUntil(lambda: {m.name for m in explored.viewer.layers} == {"ball"}, timeout=2000)
    assert not widget.panels
    assert not explored.viewer.canvas.grid.enabled
    assert_empty(explored, qtbot)


def test_a_map_that_was_taken_out_comes_back_with_its_button(explored):
    explored.show_view("NLL")
    explored.viewer.layers.remove(NAMES["nll"])
    assert explored.view_name() == "Scan"
    assert explored.viewer.layers["head"].visible
    explored.viewer.layers.remove(NAMES["residual"])  # that is not shown
    assert explored.view_name() == "Scan"
    for view, name in (("NLL", "nll"), ("Residual", "residual")):
        explored.show_view(view)
        layer = explored.viewer.layers[NAMES[name]]
        assert layer.visible
        grid = explored.session.explorer.grid
        expected = grid.stack_to_ras(explored.session.explorer.map(name)).transpose(2, 1, 0)
        np.testing.assert_array_equal(layer.data, expected)
