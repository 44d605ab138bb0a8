"""The form that asks what an export of the maps holds: its choices have their effect and are remembered."""

import gc
import os
import weakref
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QCheckBox, QFileDialog

from napari_vqad.export.dicom import SCORE, SEGMENTS
from napari_vqad.export.output_folder import OTHERS, file_of, saved_maps
from napari_vqad.io.load import load_scan
from napari_vqad.ui.files.readers import scan_layer
from napari_vqad.ui.panels.export_form import ExportOptions, ask_options

SAGITTAL = np.array([[0, 0, -4.0, 60], [-4.0, 0, 0, 64], [0, -4.0, 0, 56], [0, 0, 0, 1]])


def form():
    return next(w for w in QApplication.topLevelWidgets() if w.windowTitle() == "Export maps" and w.isVisible())


def answer(press, seen, accept=True):
    """Stand in for the user: press the boxes with these words, note all boxes, and accept or cancel."""

    def look():
        dialog = form()
        try:
            boxes = {box.text(): box for box in dialog.findChildren(QCheckBox)}
            for words in press:
                next(box for text, box in boxes.items() if words in text).click()
            seen.append({text: (box.isChecked(), box.isEnabled()) for text, box in boxes.items()})
            seen.append(weakref.ref(dialog))
        finally:
            (dialog.accept if accept else dialog.reject)()

    QTimer.singleShot(200, look)


@pytest.fixture
def export(qtbot, monkeypatch, tmp_path):
    """Export the maps of a dock through the menu, and wait until they are written: the boxes as they were shown."""
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "out"))
    (tmp_path / "out").mkdir()

    def run(dock, press=(), accept=True):
        seen = []
        answer(press, seen, accept)
        dock.status.setText("")
        dock.export_menu.maps.trigger()
        if accept:
            qtbot.waitUntil(lambda: "Maps written" in dock.status.text(), timeout=15_000)
        return seen[0]

    return run


def test_as_it_opens_it_writes_what_was_always_written(explored, export, tmp_path):
    detector = explored.session.explorer.detector
    boxes = export(explored)
    maps = [text for text in boxes if ".nii.gz" in text]
    assert [text.rpartition(": ")[2] for text in maps] == [file_of(n) for n in saved_maps(detector)]
    assert all(boxes[text] == (True, True) for text in maps)
    assert [boxes[text] for text in boxes if ".dcm" in text] == [(False, False)] * 2
    assert sorted(os.listdir(tmp_path / "out" / "head_vqad")) == sorted(
        [*map(file_of, saved_maps(detector)), *(name for name in OTHERS if name not in (SEGMENTS, SCORE))]
    )


def test_a_map_that_is_not_chosen_is_not_written_and_stays_off(explored, export, tmp_path):
    out = tmp_path / "out" / "head_vqad"
    export(explored)
    assert (out / "nll.nii.gz").exists()
    assert not export(explored, ["nll.nii.gz", "residual.nii.gz"])["NLL: nll.nii.gz"][0]
    assert not {"nll.nii.gz", "residual.nii.gz"} & set(os.listdir(out)), "those of the earlier export are removed"
    assert {"pixel_score.nii.gz", "report.html"} <= set(os.listdir(out))
    boxes = export(explored, ["residual.nii.gz"])
    assert [text for text, (on, _) in boxes.items() if "nii.gz" in text and not on] == ["NLL: nll.nii.gz"]
    assert (out / "residual.nii.gz").exists()


def test_cancel_writes_nothing_and_changes_no_choice(explored, export, tmp_path):
    export(explored, ["nll.nii.gz"], accept=False)
    assert os.listdir(tmp_path / "out") == []
    assert explored.export_menu.options == ExportOptions()


def test_files_of_another_scan_are_replaced_only_where_that_is_chosen(explored, export, tmp_path):
    out = tmp_path / "out" / "head_vqad"
    out.mkdir()
    (out / "nll.nii.gz").write_text("of another scan")
    export(explored)
    assert (out / "nll.nii.gz").read_text() == "of another scan"
    assert (tmp_path / "out" / "head_vqad_2" / "nll.nii.gz").exists()
    export(explored, ["another scan"])
    assert (out / "nll.nii.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert sorted(os.listdir(tmp_path / "out")) == ["head_vqad", "head_vqad_2"]


def test_dicom_files_are_written_one_by_one(dock, idle, head, make_series, export, tmp_path, qtbot):
    array = np.flip(head[0].voxels.transpose(1, 2, 0)).clip(0).astype(np.uint16)
    scan = load_scan(make_series(tmp_path / "series", array, SAGITTAL))
    dock.viewer.layers.clear()
    data, attributes, _ = scan_layer(scan, "head")
    dock.viewer.add_image(data, **attributes)
    dock.inputs.brain.pick(None)
    dock.session.change(pooling="none", min_volume_ml=0.0)
    dock.start()
    idle(dock)
    explorer = dock.session.explorer
    dock.session.change(flag_voxels=float(np.percentile(explorer.map("pixel_score")[explorer.grid.mask], 98)))
    qtbot.waitUntil(dock.export_menu.maps.isEnabled)
    boxes = export(dock, [SCORE])
    assert [state for text, state in boxes.items() if ".dcm" in text] == [(False, True), (True, True)]
    (out,) = (tmp_path / "out").iterdir()
    assert {name for name in os.listdir(out) if name.endswith(".dcm")} == {SCORE}
    export(dock, [SCORE, SEGMENTS])
    assert {name for name in os.listdir(out) if name.endswith(".dcm")} == {SEGMENTS}
    export(dock, [SCORE])
    assert {name for name in os.listdir(out) if name.endswith(".dcm")} == {SEGMENTS, SCORE}


def test_a_choice_of_dicom_waits_for_a_scan_that_has_it(explored):
    seen, before = [], ExportOptions(frozenset({"of another detector"}), frozenset({SCORE}))
    answer(["nll.nii.gz"], seen)
    options = ask_options(explored.session.explorer, before, explored)
    assert options == replace(before, left_out=frozenset({"nll", "of another detector"}))
    assert options.dicom_of(explored.session.explorer) == []
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    assert seen[1]() is None, "the form outlives its answer"
