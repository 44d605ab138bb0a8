"""The Sweep tab with real widgets: run a grid, click a cell, cancel, go on, and nothing of another scan."""

import shlex
import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

from napari_vqad.cli import main
from napari_vqad.evaluate.scan_measures import measures_of
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import write_map
from napari_vqad.tuning.sweep_plan import DonePoints
from napari_vqad.ui.files.readers import scan_layer


@pytest.fixture
def tab(explored, qtbot):
    """The tab of the shared window, with a grid of 2×2×2 cells, and as it was again after the test."""
    tab = open_tab(explored, qtbot)
    yield tab
    tab.form.label.pick(None)
    tab.form.measure.box.setCurrentIndex(0)
    tab.form.keep.setChecked(False)
    tab.done = DonePoints()
    explored.tuning.setChecked(False)


def open_tab(dock, qtbot):
    dock.tuning.setChecked(True)
    tab = dock.bench.pages["Sweep"]
    dock.bench.tabs.setCurrentWidget(tab)
    qtbot.waitUntil(lambda: tab.isVisible() and tab.plan is not None, timeout=5000)
    for row, text in zip(tab.form.axes, ("2.6 2.75", "1 3", "0 3"), strict=True):
        row.values.setText(text)
    assert len(tab.plan.points) == 8
    return tab


def finish(tab, qtbot):
    tab.form.start.click()
    qtbot.waitUntil(lambda: not tab._slot.running, timeout=30_000)


def test_the_axes_begin_around_the_sliders(explored, qtbot):
    explored.tuning.setChecked(True)
    tab = explored.bench.pages["Sweep"]
    qtbot.waitUntil(lambda: tab.plan is not None, timeout=5000)
    tab._bundle = ""
    tab._explorer = None
    tab.refresh()
    texts = tab.form.texts()
    assert [name for name, _ in texts] == ["lambda_p", "n_restorations", "k"]
    assert texts[0][1] == "p20 p80 p90 p95 p98"
    assert texts[1][1] == "1 3"
    assert texts[2][1] == "1 3 10"
    assert tab.plot.shown.titles[0].startswith("λ_p (pixel), nats")
    explored.tuning.setChecked(False)


def test_a_grid_runs_and_a_click_moves_the_sliders(tab, explored, qtbot, idle):
    before = explored.session.explorer.map("pixel_score")
    finish(tab, qtbot)
    assert tab.form.status.text() == "The sweep is done."
    assert explored.session.explorer.map("pixel_score") is before  # the picture did not change
    values = tab.plot.shown.values
    assert None not in values
    assert tab.plot.shown.here is None  # λ_p is p20
    tab.form.measure.pick("spread")
    other = tab.plot.shown.values
    assert None not in other
    assert other != values
    index = tab.plan.index(column=1, row=1, panel=0)
    at = tab.plot.cell_rect(index).center().toPoint()
    qtbot.mouseClick(tab.plot, Qt.MouseButton.LeftButton, pos=QPoint(at.x(), at.y()))
    idle(explored)
    settings = explored.session.settings
    assert (settings.lambda_p, settings.n_restorations, settings.k) == (2.75, 3, 0.0)
    assert explored.widgets["n_restorations"].slider.value() == 3
    assert explored.widgets["lambda_p"].slider.value() == pytest.approx(2.75)
    qtbot.waitUntil(lambda: tab.plot.shown.here == index, timeout=5000)
    # The analysis that the sliders now show is the one in the cell.
    explorer = explored.session.explorer
    mask = explorer.grid.mask & explorer.chosen()[:, None, None]
    assert other[index] == float(explorer.map("disagreement")[mask].mean())


def test_cancel_keeps_finished_cells_and_start_goes_on(tab, qtbot, gate):
    gate.let = 1000
    tab.form.start.click()
    qtbot.waitUntil(lambda: sum(v is not None for v in tab.plot.shown.values) >= 1, timeout=20_000)
    gate.let = 0
    tab.form.cancel.click()
    qtbot.waitUntil(lambda: not tab._slot.running, timeout=1000)  # within a second
    kept = sum(value is not None for value in tab.plot.shown.values)
    assert 0 < kept < 8
    assert "finished cells are kept" in tab.form.status.text()
    gate.open = True
    finish(tab, qtbot)
    assert None not in tab.plot.shown.values


def test_bad_values_are_one_sentence(tab):
    tab.form.axes[1].values.setText("0 5")
    assert tab.form.status.text().startswith("'0' is no value of S: ")
    assert tab.plan is None
    assert not tab.form.start.isEnabled()
    tab.form.axes[1].values.setText("")
    assert tab.form.status.text() == "Type one or more values of S, separated by blanks."
    tab.form.axes[1].values.setText("1 2")
    tab.form.axes[1].setting.pick("k")
    assert "k is on two axes" in tab.form.status.text()
    tab.form.axes[1].setting.pick("n_restorations")
    tab.form.axes[1].values.setText("1 3")
    assert tab.form.start.isEnabled()


def test_with_a_label_cells_also_have_measures_of_detection(tab, explored, qtbot):
    labels = lesion_layer(explored)
    tab.form.label.pick(labels)
    tab.form.measure.pick("voxel_ap")
    assert "this scan only" in tab.form.warning.text()
    finish(tab, qtbot)
    first = tab.plot.shown.values
    assert all(0 < value < 1 for value in first)
    labels.data = np.roll(labels.data, 3, axis=0)  # another truth: its measures are not known yet
    assert set(tab.plot.shown.values) == {None}
    tab.form.measure.pick("findings")
    assert None not in tab.plot.shown.values  # no label is needed for these
    labels.data = np.zeros_like(labels.data)
    tab.form.start.click()
    assert "marks no voxel" in tab.form.status.text()
    explored.viewer.layers.remove(labels)
    assert tab.form.label.value is None
    assert "voxel_ap" not in [name for _, name in tab.form.measure.items()]


def lesion_layer(dock):
    """A Labels layer with a cube in the head."""
    ball = dock.viewer.layers["ball"]
    data = np.zeros_like(ball.data)
    data[11:16, 13:18, 13:17] = 1
    return dock.viewer.add_labels(data, name="lesions", scale=ball.scale, translate=ball.translate, units=ball.units)


def test_another_scan_clears_and_stops(dock, idle, qtbot, gate, head):
    gate.open = True
    dock.start()
    idle(dock)
    tab = open_tab(dock, qtbot)
    finish(tab, qtbot)
    first = tab.plot.shown.values
    assert None not in first
    gate.open, gate.let = False, 0
    tab.form.axes[0].values.setText("2.6 2.7")
    tab.form.start.click()
    qtbot.waitUntil(lambda: tab._run is not None and tab._run._explorer is not None, timeout=5000)
    dock.viewer.layers.remove(dock.viewer.layers["head"])  # in the middle of the work
    assert tab.plot.shown is None
    assert not tab._slot.running
    assert not tab.form.isEnabled()
    gate.open = True
    volume, _mask = head
    other = Volume.from_array(np.flip(volume.voxels, 0).copy(), volume.affine, name="other")
    data, attributes, _kind = scan_layer(other)
    dock.inputs.scan.pick(dock.viewer.add_image(data, **attributes))
    dock.start()
    idle(dock)
    assert set(tab.plot.shown.values) == {None}


def test_the_same_scan_again_shows_its_cells_again_and_another_model_does_not(dock, idle, qtbot, tiny_masked):
    dock.start()
    idle(dock)
    tab = open_tab(dock, qtbot)
    finish(tab, qtbot)
    first = tab.plot.shown.values
    dock.start()
    qtbot.waitUntil(lambda: tab._explorer is dock.session.explorer and not dock.session.running, timeout=20_000)
    idle(dock)
    assert tab.plot.shown.values == first
    dock.inputs.bundle.box.addItem("Masked", tiny_masked)
    dock.inputs.bundle.pick(tiny_masked)
    before = dock.session.explorer
    dock.start()
    qtbot.waitUntil(lambda: dock.session.explorer is not before, timeout=20_000)
    assert tab.plot.shown is None or set(tab.plot.shown.values) == {None}
    idle(dock)
    assert set(tab.plot.shown.values) == {None}


def test_closing_the_dock_in_mid_work_leaves_no_thread(dock, idle, qtbot, gate):
    gate.open = True
    dock.start()
    idle(dock)
    tab = open_tab(dock, qtbot)
    gate.open, gate.let = False, 0
    before = set(threading.enumerate())
    tab.form.start.click()
    qtbot.waitUntil(lambda: tab._run is not None and tab._run._explorer is not None, timeout=5000)
    run = tab._run
    dock.viewer.window.remove_dock_widget(dock)
    QApplication.processEvents()
    assert run._cancelled
    assert set(threading.enumerate()) <= before


def test_the_command_gives_the_same_numbers(tab, explored, qtbot, tmp_path, capsys, head, monkeypatch):
    volume, mask = head
    write_map(tmp_path / "scan.nii.gz", volume.voxels, volume)
    write_map(tmp_path / "mask.nii.gz", mask.astype(np.uint8), volume)
    finish(tab, qtbot)
    words = shlex.split(tab.command())
    assert words[:3] == ["napari-vqad", "evaluate", "sweep"]
    assert words[3] == str(explored.session.explorer.bundle.folder)  # it is not installed
    assert words[words.index("--scan") + 1] == "scan.nii.gz"
    assert words[words.index("--mask") + 1] == "mask.nii.gz"
    assert len(tab.reproduction().missing) == 2
    monkeypatch.chdir(tmp_path)
    assert main([*words[1:], "--csv", "table.csv", "--device", "cpu", "--threads", "1"]) == 0
    capsys.readouterr()
    lines = [line.split(",") for line in (tmp_path / "table.csv").read_text().splitlines()]
    names = measures_of(explored.session.explorer.detector, "head", False)
    assert lines[0] == ["lambda_p", "n_restorations", "k", *names]
    for name in ("highest", "spread", "flagged_ml"):
        tab.form.measure.pick(name)
        found = [float(line[lines[0].index(name)]) for line in lines[1:]]
        assert found == [round(value, 6) for value in tab.plot.shown.values]


def test_the_table_is_written_as_csv(tab, qtbot, tmp_path, monkeypatch):
    from qtpy.QtWidgets import QFileDialog

    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "t.csv"), ""))
    tab.form.csv.click()
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert len(lines) == 9
    assert lines[1].startswith("2.6,1,0.0,,")  # nothing is done yet


def test_the_sweep_goes_on_from_a_folder(tab, qtbot, tmp_path, monkeypatch):
    from qtpy.QtWidgets import QFileDialog

    from napari_vqad.evaluate import scan_sweep

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "kept"))
    tab.form.keep.click()
    assert tab.form.keep.isChecked()
    finish(tab, qtbot)
    values = tab.plot.shown.values
    tab.done = DonePoints()
    tab.refresh()
    assert set(tab.plot.shown.values) == {None}
    monkeypatch.setattr(scan_sweep, "measure", lambda *_: pytest.fail("it is stored"))
    finish(tab, qtbot)
    assert tab.plot.shown.values == values
    tab.form.keep.click()
    assert not tab.form.keep.isChecked()
