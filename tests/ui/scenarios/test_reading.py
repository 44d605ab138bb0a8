"""A reading from the first click to the report: the sample head, the bundled model, and keys alone where keys exist."""

import re

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from napari_vqad.detectors.library import list_bundles
from napari_vqad.detectors.settings import Settings
from napari_vqad.ui import dock as dock_module
from napari_vqad.ui.dock import ExplorerDock
from napari_vqad.ui.plumbing.preferences import Preferences

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def empty(make_napari_viewer, monkeypatch):
    """An empty viewer with the dock; without restorations the whole head is a matter of seconds."""
    start = Settings(method="regenerative")
    monkeypatch.setattr(dock_module, "read_preferences", lambda: Preferences(list_bundles(), "cpu", 64 * 2**20, start))
    viewer = make_napari_viewer(show=True)
    dock = ExplorerDock(viewer)
    viewer.window.add_dock_widget(dock, name="VQ Anomaly Explorer", area="right")
    yield dock
    dock.session.close()


def test_from_open_sample_to_the_report(empty, qtbot, tmp_path, monkeypatch):
    dock, session, viewer = empty, empty.session, empty.viewer
    window = dock.window()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    sample = next(b for b in dock.welcome.findChildren(QPushButton) if b.text() == "Sample head")
    sample.setFocus()
    qtbot.keyClick(sample, Qt.Key.Key_Space)
    qtbot.waitUntil(dock.export_menu.report.isEnabled, timeout=120_000)
    explorer = session.explorer
    assert explorer.bundle.name == "ixi-aligned"
    assert dock.view_name() == "Score"

    canvas = next(w for w in dock.window().findChildren(QWidget) if "CanvasBackend" in type(w).__name__)
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_Period)  # the next flagged slice
    assert explorer.flagged_slices()[session.current()]
    qtbot.keyClick(canvas, Qt.Key.Key_N)  # the first finding
    findings_table, review = dock.lists.findings_table, session.review
    assert findings_table.isVisible()
    first, second = review.found[:2]
    assert findings_table.chosen() is first
    assert first.slices[0] <= session.current() <= first.slices[1]
    answer = viewer.layers["Simulated lesions (ground truth)"]
    s, a, r = (
        round((w - t) / scale) for w, t, scale in zip(viewer.dims.point, answer.translate, answer.scale, strict=True)
    )
    assert answer.data[s, a, r] > 0, "the weightiest finding is none of the simulated lesions"

    qtbot.keyClick(findings_table.view, Qt.Key.Key_A)
    qtbot.keyClick(findings_table.view, Qt.Key.Key_N)
    assert findings_table.chosen() is second
    qtbot.keyClick(findings_table.view, Qt.Key.Key_A)
    qtbot.keyClick(findings_table.view, Qt.Key.Key_Z, CONTROL)
    qtbot.keyClick(findings_table.view, Qt.Key.Key_X)
    assert [review.annotation(f).verdict for f in (first, second)] == ["accepted", "rejected"]
    findings_table.order.setData(findings_table.order.index(0, findings_table.table.note), "dark, sharp border")

    path = tmp_path / "sample_report.html"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_R, CONTROL | SHIFT)
    qtbot.waitUntil(lambda: f"Report written: {path}" in dock.status.text(), timeout=60_000)
    html = path.read_text(encoding="utf-8")
    for words in ("Research use only, not a medical device", first.where, second.where, "dark, sharp border"):
        assert words in html
    assert len(re.findall(r'<tr class="accepted"', html)) == 1
    assert len(re.findall(r'<tr class="rejected"', html)) == 1
    assert html.count("<img ") >= min(len(review.found), 12)
