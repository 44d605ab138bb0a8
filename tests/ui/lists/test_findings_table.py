"""The findings_table in a real viewer: to a finding by click and key, verdicts and notes by keys, undo."""

import time
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_vqad.findings.findings import Evidence, Finding, findings
from napari_vqad.findings.review import Review
from napari_vqad.scores.components import find
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.lists.findings_table import MANY, FindingsTable
from napari_vqad.ui.plumbing.shortcuts import ACCEPT, REJECT


def canvas_of(dock) -> QWidget:
    """The widget that hears the keys of the viewer."""
    return next(w for w in dock.window().findChildren(QWidget) if "CanvasBackend" in type(w).__name__)


@pytest.fixture
def listed(explored, idle):
    """The dock with its list of findings open, and more than one in it."""
    explored.session.change(pooling="none", min_volume_ml=0.0)
    idle(explored)
    explorer = explored.session.explorer
    high = float(np.percentile(explorer.map("pixel_score")[explorer.grid.mask], 98))
    explored.session.change(flag_voxels=high)
    idle(explored)
    explored.findings.setChecked(True)
    assert len(explored.session.review.found) > 1
    return explored


def texts(findings_table, column):
    order = findings_table.order
    return [order.data(order.index(row, column)) for row in range(order.rowCount())]


def test_the_list_is_what_is_flagged(listed):
    findings_table, session = listed.lists.findings_table, listed.session
    assert findings_table.isVisible()
    assert texts(findings_table, 0) == [str(n) for n in range(1, len(session.review.found) + 1)]
    total = sum(f.piece.voxels for f in session.review.found)
    assert total == session.explorer.map("flagged").sum()
    assert f"{len(session.review.found)} finding" in findings_table.words.text()


def test_it_follows_the_threshold(listed, idle):
    before = len(listed.session.review.found)
    listed.session.change(min_volume_ml=1.0)
    idle(listed)
    assert len(listed.session.review.found) < before
    assert [f.top for f in listed.session.review.found] == [f.top for f in findings(listed.session.explorer)]


def test_sorted_by_numbers_and_not_by_letters(listed):
    findings_table = listed.lists.findings_table
    volume = next(i for i, c in enumerate(findings_table.table.columns) if c[0] == "mL")
    findings_table.view.sortByColumn(volume, Qt.SortOrder.AscendingOrder)
    sizes = [float(t) for t in texts(findings_table, volume)]
    assert sizes == sorted(sizes)


def test_a_click_goes_there(listed, qtbot):
    findings_table, viewer = listed.lists.findings_table, listed.viewer
    row = findings_table.order.rowCount() - 1
    index = findings_table.order.index(row, 0)
    findings_table.view.scrollTo(index)
    qtbot.mouseClick(
        findings_table.view.viewport(), Qt.MouseButton.LeftButton, pos=findings_table.view.visualRect(index).center()
    )
    finding = findings_table.chosen()
    assert finding is listed.session.review.found[row]
    r, a, s = finding.centre
    np.testing.assert_allclose(viewer.dims.point, (-s, -a, -r), atol=2.1)  # the slider stops at slices of 4 mm


def test_next_and_previous_by_keys_on_the_canvas(listed, qtbot):
    findings_table, canvas = listed.lists.findings_table, canvas_of(listed)
    seen = []
    findings_table.gone_to.connect(lambda f: seen.append(f.number))
    back = Qt.KeyboardModifier.ShiftModifier
    for shift in (Qt.KeyboardModifier.NoModifier,) * 2 + (back, back):
        qtbot.keyClick(canvas, Qt.Key.Key_N, shift)
    assert seen == [1, 2, 1, len(listed.session.review.found)]
    review, last = listed.session.review, listed.session.review.found[-1]
    assert listed.viewer.layers.selection.active is listed.viewer.layers["head"]
    qtbot.keyClick(canvas, ACCEPT.lower())
    assert review.annotation(last).verdict == "accepted"
    qtbot.keyClick(canvas, REJECT.lower())
    assert review.annotation(last).verdict == "rejected"
    qtbot.keyClick(findings_table.view, Qt.Key.Key_N)
    assert seen[-1] == 1


def test_verdict_note_and_undo_by_keys(listed, qtbot):
    findings_table, review = listed.lists.findings_table, listed.session.review
    first = review.found[0]
    findings_table.choose(first)
    findings_table.view.setFocus()
    qtbot.keyClick(findings_table.view, ACCEPT.lower())
    assert review.annotation(first).verdict == "accepted"
    assert texts(findings_table, findings_table.table.note - 1)[0] == "accepted"
    assert findings_table.chosen() is first, "the row is lost after a verdict"
    cut = [
        c[0]
        for at, c in enumerate(findings_table.table.columns)
        if findings_table.view.sizeHintForColumn(at) > findings_table.view.columnWidth(at)
    ]
    assert cut in ([], ["Note"]), "bold words are wider"
    assert {"Peak (SD)", "Mean (SD)"} < {c[0] for c in findings_table.table.columns}
    qtbot.keyClick(findings_table.view, REJECT.lower())
    assert review.annotation(first).verdict == "rejected"
    findings_table.order.setData(findings_table.order.index(0, findings_table.table.note), "artefact")
    assert review.annotation(first).note == "artefact"
    for expected in (("rejected", ""), ("accepted", ""), ("open", "")):
        qtbot.keyClick(findings_table.view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
        assert (review.annotation(first).verdict, review.annotation(first).note) == expected


def test_a_verdict_outlives_another_threshold_and_another_analysis_of_the_scan(listed, idle):
    session = listed.session
    first = session.review.found[0]
    session.review.set_verdict(first, "accepted")
    session.change(flag_voxels=1.05 * session.settings.flag_voxels)
    idle(listed)
    assert session.review.annotation(next(f for f in session.review.found if f.top == first.top)).verdict == "accepted"
    listed.start()
    idle(listed)
    assert session.review.annotation(first).verdict == "accepted"


def test_another_scan_begins_without_verdicts(listed, idle, head):
    session = listed.session
    session.review.set_verdict(session.review.found[0], "accepted")
    volume, _ = head
    other, about, _ = scan_layer(replace(volume, name="other"))
    listed.viewer.add_image(other, **about)
    listed.inputs.scan.pick(listed.viewer.layers["other"])
    listed.start()
    idle(listed)
    assert session.review.found
    assert {session.review.annotation(f).verdict for f in session.review.found} == {"open"}


def test_it_says_what_it_waits_for(listed, idle):
    session, findings_table = listed.session, listed.lists.findings_table
    session.change(seed=5)
    assert "earlier settings" in findings_table.words.text()
    idle(listed)
    assert "finding" in findings_table.words.text()


def test_the_choice_stays_when_the_list_is_made_anew(listed, idle):
    session, findings_table = listed.session, listed.lists.findings_table
    last = session.review.found[-1]
    findings_table.choose(session.review.found[1])
    second = findings_table.chosen()
    session.change(min_volume_ml=0.99 * min(second.ml, last.ml))
    idle(listed)
    assert findings_table.chosen().top == second.top
    same = session.review.found
    session.change(lambda_s=1.5)
    idle(listed)
    assert session.review.found is same, "λ_s has nothing to do with findings"


def test_put_away_and_taken_out_again_by_button_and_cross(listed, qtbot):
    findings_table = listed.lists.findings_table
    listed.findings.setChecked(False)
    assert not findings_table.isVisible()
    assert not listed.session.reviewing
    listed.findings.setChecked(True)
    assert findings_table.isVisible()
    listed.session.review.set_verdict(listed.session.review.found[0], "accepted")
    listed.viewer.window.remove_dock_widget(listed.lists.tabs)  # what the cross does
    qtbot.waitUntil(lambda: not listed.findings.isChecked())
    assert not listed.lists.tabs.isVisible()
    assert not listed.display.planes.isVisible()  # nor what was never taken out, within its button
    listed.findings.setChecked(True)
    assert findings_table.isVisible()
    assert texts(findings_table, findings_table.table.note - 1)[0] == "accepted"


def test_the_whole_head_stays_in_view_until_the_user_zooms_then_the_finding_is_in_the_middle(listed):
    viewer, finding = listed.viewer, listed.session.review.found[0]
    camera = viewer.scene.camera
    before = camera.zoom, camera.center
    listed.session.show_finding(finding)
    assert (camera.zoom, camera.center) == before
    r, a, s = finding.centre
    for order, expected in (((0, 1, 2), (-a, -r)), ((2, 0, 1), (-s, -a))):  # axial, sagittal
        viewer.dims.order = order
        viewer.scene.camera.zoom = 3 * before[0]
        listed.session.show_finding(finding)
        assert viewer.scene.camera.zoom == pytest.approx(3 * before[0])
        np.testing.assert_allclose(camera.center[1:], expected, atol=1e-3)


def test_thousands_are_no_burden(qtbot):
    """Three thousand rows in a moment, and a word on the threshold."""
    score = np.zeros((40, 60, 60), np.float32)
    score[::2, ::2, ::2] = np.random.default_rng(0).uniform(1, 2, (20, 30, 30))
    started = time.monotonic()
    found = [
        Finding(
            n,
            "left",
            (1.0, 2.0, 3.0),
            (1.0, 2.0, 3.0),
            (0, 0),
            (0, 0),
            (0.0, 0.0),
            0.1,
            p.peak,
            p.mean,
            "SD",
            (Evidence("nll", "NLL", "nats", 1.0),),
            p,
            (n, 0, 0),
        )
        for n, p in enumerate(find(score, 0.5, least=1)[:3000], start=1)
    ]
    review = Review()
    findings_table = FindingsTable(review)
    qtbot.addWidget(findings_table)
    findings_table.show()
    shown = time.monotonic()
    review.set_findings(found)
    findings_table.view.sortByColumn(3, Qt.SortOrder.DescendingOrder)
    qtbot.wait(1)
    assert len(found) == 3000 > MANY
    assert "threshold for voxels may be too low" in findings_table.words.text()
    assert time.monotonic() - shown < 3
    assert shown - started < 20
