"""The Export menu in a real viewer: report, study and maps by keys, greyed entries, errors as one sentence."""

import csv
import json
import os

import numpy as np
import pytest
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.findings.findings import findings
from napari_vqad.io.nifti import read_scan, write_map
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.panels import export_menu
from napari_vqad.ui.panels.export_menu import MAPS, REPORT, SAVE

BOTH = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def dialogs(monkeypatch):
    """What the person chooses in the next dialogs; titles and proposals of those that were shown."""
    answers, shown = [], []

    def ask(_parent, title, start, _kind=""):
        shown.append((title, start))
        return str(answers.pop(0)), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", ask)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *args: ask(*args)[0])
    monkeypatch.setattr(export_menu, "ask_options", lambda _explorer, before, _parent: before)
    return answers, shown


@pytest.fixture
def read(explored, idle, head_file, qtbot):
    """The dock with a scan from a file analysed, its findings listed, one accepted, one with a note."""
    data, attributes, _ = scan_layer(read_scan(head_file))
    explored.viewer.layers.remove("head")
    explored.viewer.add_image(data, **attributes)
    explored.session.change(pooling="none", min_volume_ml=0.0)
    explored.start()
    idle(explored)
    explorer = explored.session.explorer
    explored.session.change(flag_voxels=float(np.percentile(explorer.map("pixel_score")[explorer.grid.mask], 98)))
    qtbot.waitUntil(explored.export_menu.report.isEnabled)
    explored.findings.setChecked(True)
    review = explored.session.review
    review.set_verdict(review.found[0], "accepted")
    review.set_note(review.found[1], "vessel <b>?")
    return explored


@pytest.fixture
def no_networks(read):
    """From its call until the end of the test no network may be asked."""
    with pytest.MonkeyPatch.context() as patch:

        def refuse():
            for stage in ("encode", "nll", "restore", "difference"):
                patch.setattr(VQDetector, stage, lambda *_, stage=stage: pytest.fail(f"{stage} was computed anew"))

        yield refuse


def canvas_of(dock) -> QWidget:
    return next(w for w in dock.window().findChildren(QWidget) if "CanvasBackend" in type(w).__name__)


def press(qtbot, dock, key):
    """Ctrl+Shift+key on the canvas of the viewer."""
    window = dock.window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    canvas = canvas_of(dock)
    canvas.setFocus()
    qtbot.keyClick(canvas, getattr(Qt.Key, f"Key_{key}"), BOTH)


def told(qtbot, dock, words):
    qtbot.waitUntil(lambda: words in dock.status.text(), timeout=15_000)


def test_greyed_until_there_is_something_to_export(dock, idle, qtbot, dialogs):
    answers, shown = dialogs
    hand = dock.export_menu
    assert [a.isEnabled() for a in (hand.report, hand.save, hand.open, hand.maps)] == [False, False, True, False]
    press(qtbot, dock, "R")
    assert shown == []
    dock.start()
    idle(dock)
    qtbot.waitUntil(hand.report.isEnabled)
    assert hand.save.isEnabled()
    assert hand.maps.isEnabled()
    answers.append("")  # cancelled
    press(qtbot, dock, "R")
    assert [title for title, _ in shown] == ["Report"]
    dock.session.explorer.change(dock.session.settings.model_copy(update={"n_restorations": 4}))
    hand.refresh()
    assert not hand.report.isEnabled()
    for action in (hand.report, hand.save, hand.open, hand.maps):
        assert action.toolTip().endswith(".")
    needed = dock.widget().minimumSizeHint().width()
    assert needed <= dock.viewport().width(), "something is cut"
    assert needed <= 383, "there is too little left for the picture on a small screen"


def test_report_by_its_key(read, qtbot, dialogs, tmp_path):
    answers, shown = dialogs
    answers.append(tmp_path / "mine")
    assert REPORT.endswith("R")
    press(qtbot, read, "R")
    told(qtbot, read, f"Report written: {tmp_path / 'mine.html'}")
    assert shown == [("Report", str(tmp_path / "head_report.html"))]
    html = (tmp_path / "mine.html").read_text(encoding="utf-8")
    assert "✓ accepted" in html
    assert "vessel &lt;b&gt;?" in html
    assert f"{len(read.session.review.found)} findings" in html


def test_maps_by_their_key_beside_those_of_others(read, qtbot, dialogs, tmp_path):
    answers, _ = dialogs
    out = tmp_path / "out"
    out.mkdir()
    (out / "nll.nii.gz").write_text("of another scan")
    answers.append(out)
    assert MAPS.endswith("M")
    press(qtbot, read, "M")
    told(qtbot, read, f"Maps written: {out / 'head_vqad'}")
    assert (out / "nll.nii.gz").read_text() == "of another scan"
    with (out / "head_vqad" / "findings.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["verdict"], r["note"]) for r in rows[:2]] == [("accepted", ""), ("open", "vessel <b>?")]
    numbers = json.loads((out / "head_vqad" / "result.json").read_text(encoding="utf-8"))
    assert numbers["findings"][0]["verdict"] == "accepted"
    assert numbers["mask"] == "Brain mask from the layer 'ball'."
    (out / "head_vqad" / "result.json").write_text(json.dumps(numbers | {"scan_sha256": "of another"}))
    answers.append(out)
    press(qtbot, read, "M")
    told(qtbot, read, f"Maps written: {out / 'head_vqad_2'}")  # the name is the same, the scan is not
    answers.append(out)
    press(qtbot, read, "M")
    told(qtbot, read, f"Maps written: {out / 'head_vqad_2'}")
    assert not (out / "head_vqad_3").exists()


def test_a_study_is_the_same_next_week(read, idle, qtbot, dialogs, no_networks, tmp_path):
    answers, shown = dialogs
    session, path = read.session, tmp_path / "head.vqad"
    read.which.setValue(2)
    read.show_view("NLL")
    session.go_to(9)
    answers.append(path)
    assert SAVE.endswith("S")
    press(qtbot, read, "S")
    told(qtbot, read, f"Study written: {path}")
    before = {name: session.explorer.map(name).copy() for name in ("nll", "residual", "pixel_score", "flagged")}
    words, settings, old = session.review.annotations, session.settings, session.explorer

    # Next week: nothing is there, another scan is open, and no network may be asked.
    read.viewer.layers.clear()
    session.change(k=9.0)
    session.review.clear()
    session.go_to(2)
    read.show_view("Residual")
    moved = (tmp_path / "head.nii.gz").rename(tmp_path / "moved.nii.gz")
    no_networks()
    answers += [path, moved]
    read.export_menu.open.trigger()
    qtbot.waitUntil(lambda: session.explorer is not old, timeout=15_000)
    idle(read)
    assert [title for title, _ in shown[1:]] == ["Open study", "The scan has moved: choose its file"]
    for name, array in before.items():
        np.testing.assert_array_equal(session.explorer.map(name), array)
    assert session.settings == settings
    assert session.settings.k != 9.0
    assert (read.view_name(), read.which.value(), session.current()) == ("NLL", 2, 9)
    assert session.review.annotations == words
    found = session.review.found
    assert [f.top for f in found] == [f.top for f in findings(session.explorer)]
    assert session.review.annotation(found[0]).verdict == "accepted"
    scans = [m for m in read.viewer.layers if isinstance(m, Image) and m.metadata.get("napari_vqad_grid") is None]
    assert [m.name for m in scans] == ["moved"]
    assert read.inputs.scan.value is scans[0]

    # Again, with the scan open: no second layer of it, and nobody is asked where it is.
    answers.append(path)
    now = session.explorer
    read.export_menu.open.trigger()
    qtbot.waitUntil(lambda: session.explorer is not now, timeout=15_000)
    idle(read)
    assert session.explorer.scan is scans[0].metadata["napari_vqad"]
    assert shown[-1][0] == "Open study"


def reopen(dock, path, qtbot, idle, dialogs):
    dialogs[0].append(path)
    before = dock.session.explorer
    dock.export_menu.open.trigger()
    qtbot.waitUntil(lambda: dock.session.explorer is not before, timeout=15_000)
    idle(dock)


def test_the_mask_of_a_study_is_chosen_and_analysed_with(read, head, idle, qtbot, dialogs, tmp_path):
    """Also when the layer that it came from was painted on since, or is gone; of another scan it is not offered."""
    session, masks, path = read.session, read.inputs.brain, tmp_path / "head.vqad"
    dialogs[0].append(path)
    press(qtbot, read, "S")
    told(qtbot, read, "Study written")
    ball = read.viewer.layers["ball"]
    ball.data = np.zeros_like(ball.data)
    reopen(read, path, qtbot, idle, dialogs)
    assert masks.box.currentText() == "of the study, from the layer 'ball'"
    read.viewer.layers.remove(ball)
    assert masks.box.currentText() == "of the study, from the layer 'ball'"
    reopened, mask = session.explorer, session.prepared.mask
    read.start()
    qtbot.waitUntil(lambda: session.explorer is not reopened, timeout=15_000)
    idle(read)
    np.testing.assert_array_equal(session.prepared.mask, mask)
    np.testing.assert_array_equal(mask, head[1])
    assert session.prepared.note == "Brain mask from the layer 'ball'."
    assert masks.value.voxels is mask

    scan = read.inputs.scan.value
    data, attributes, _ = scan_layer(head[0], "another")
    read.viewer.add_image(data, **attributes)  # the newest is chosen
    assert masks.box.currentText() == "compute automatically"
    assert not [text for text, _ in masks.items() if "study" in text]
    read.inputs.scan.pick(scan)
    assert masks.box.currentText() == "of the study, from the layer 'ball'"
    masks.pick(None)
    read.viewer.layers.remove("another")
    assert masks.value is None, "the person's choice stays"


def test_a_report_of_a_reopened_study_says_when_that_was_saved(read, idle, qtbot, dialogs, tmp_path):
    for page, said in (("before.html", False), ("after.html", True)):
        dialogs[0].append(tmp_path / page)
        press(qtbot, read, "R")
        told(qtbot, read, f"Report written: {tmp_path / page}")
        assert ("Study saved" in (tmp_path / page).read_text(encoding="utf-8")) == said
        dialogs[0].append(path := tmp_path / "head.vqad")
        press(qtbot, read, "S")
        told(qtbot, read, "Study written")
        reopen(read, path, qtbot, idle, dialogs)


def test_another_scan_is_refused_and_what_is_explored_stays(read, head, qtbot, dialogs, tmp_path, notices):
    answers, _ = dialogs
    path = tmp_path / "head.vqad"
    answers.append(path)
    press(qtbot, read, "S")
    told(qtbot, read, "Study written")
    volume, _mask = head
    read.viewer.layers.clear()
    write_map(tmp_path / "head.nii.gz", volume.voxels + 1, volume)
    explorer = read.session.explorer
    answers.append(path)
    read.export_menu.open.trigger()
    told(qtbot, read, f"{tmp_path / 'head.nii.gz'} is not the scan of {path}")
    path.write_bytes(path.read_bytes()[:500])
    answers.append(path)
    read.export_menu.open.trigger()
    told(qtbot, read, f"{path} is cut short or damaged")
    assert read.session.explorer is explorer
    assert len(notices) == 2


def test_a_full_disk_is_one_sentence_and_no_half_file(read, qtbot, dialogs, tmp_path, monkeypatch, notices):
    answers, _ = dialogs
    out = tmp_path / "out"
    out.mkdir()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    for key, file in (("R", out / "head_report.html"), ("S", out / "head.vqad")):
        answers.append(file)
        press(qtbot, read, key)
        told(qtbot, read, f"{file} cannot be written: no space left on device.")
    assert os.listdir(out) == []
    assert len(notices) == 2


def test_a_name_that_the_dialog_did_not_ask_about_is_not_overwritten(read, qtbot, dialogs, tmp_path, notices):
    answers, _ = dialogs
    (tmp_path / "mine.html").write_text("keep me")
    answers.append(tmp_path / "mine")
    read.export_menu.report.trigger()
    told(qtbot, read, "mine.html already exists")
    assert (tmp_path / "mine.html").read_text() == "keep me"
    assert len(notices) == 1


def test_a_clip_is_not_exported(dock, tiny_clips, make_clip, tmp_path, qtbot):
    from napari_vqad.io.clips import read_clip
    from napari_vqad.ui.files.readers import clip_layers

    dock.viewer.layers.clear()
    data, attributes, _ = clip_layers(read_clip(make_clip(tmp_path / "walk.npz")))[0]
    dock.viewer.add_image(data, **attributes)
    dock.inputs.bundle.box.addItem("Clips", tiny_clips)
    dock.inputs.bundle.pick(tiny_clips)
    dock.start()
    qtbot.waitUntil(lambda: dock.status.text().startswith("Ready"), timeout=20_000)
    hand = dock.export_menu
    assert [a.isEnabled() for a in (hand.report, hand.save, hand.open, hand.maps)] == [False, False, True, False]
