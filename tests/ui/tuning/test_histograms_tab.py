"""The tab Histograms: a line that the mouse or a key moves changes its threshold, and the words follow."""

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_vqad.ui.tuning.histograms_tab import HistogramsTab


@pytest.fixture
def tab(explored, qtbot):
    explored.tuning.setChecked(True)
    page = explored.bench.pages[HistogramsTab.title]
    explored.bench.tabs.setCurrentWidget(page)
    qtbot.waitUntil(lambda: any(column.plot.shown for column in page.columns))
    return page


def plot_of(tab, setting):
    return next(c.plot for c in tab.columns if c.plot.shown and setting in {n.setting for n in c.plot.shown.lines})


def line_of(tab, setting):
    return next(line for line in plot_of(tab, setting).shown.lines if line.setting == setting)


@pytest.mark.parametrize("setting", ["lambda_s", "lambda_p", "flag_slices", "flag_voxels"])
def test_a_dragged_line_moves_the_slider(setting, tab, explored, qtbot):
    plot, before = plot_of(tab, setting), line_of(tab, setting).value
    low, high = plot.shown.edges[[0, -1]]
    wanted = max(low, 0) + (high - max(low, 0)) * (0.7 if before < (low + high) / 2 else 0.3)
    at = [QPoint(round(plot.x_of(value)), 30) for value in (before, wanted)]
    QTest.mousePress(plot, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at[0])
    QTest.mouseMove(plot, at[1])
    QTest.mouseRelease(plot, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at[1])
    near = (high - low) / 40

    def arrived():
        return line_of(tab, setting).value == pytest.approx(wanted, abs=near)

    qtbot.waitUntil(arrived, timeout=10_000)
    value = line_of(tab, setting).value
    assert explored.session.settings.model_dump()[setting] == pytest.approx(value)
    assert explored.widgets[setting].slider.value() == pytest.approx(value, abs=0.01)
    words = next(c.words.text() for c in tab.columns if c.plot is plot)
    assert f"{value:.2f}" in words


def test_keys_select_a_line_and_move_it(tab, explored, qtbot):
    plot = plot_of(tab, "lambda_s")
    plot._selected = 0  # another test may have dragged a line in this window
    low, high = plot.shown.edges[[0, -1]]
    before = {s: line_of(tab, s).value for s in ("lambda_s", "lambda_p")}
    step = 0.01 * (high - low)
    QTest.keyClick(plot, Qt.Key.Key_Right)
    wanted = min(before["lambda_s"] + step, high)
    qtbot.waitUntil(lambda: explored.session.settings.lambda_s == pytest.approx(wanted, abs=1e-3))
    QTest.keyClick(plot, Qt.Key.Key_Down)
    QTest.keyClick(plot, Qt.Key.Key_Left)
    wanted = max(before["lambda_p"] - step, low, 0)
    qtbot.waitUntil(lambda: explored.session.settings.lambda_p == pytest.approx(wanted, abs=1e-3))
    assert "λ_s" in plot.accessibleDescription()


def test_a_click_beside_the_lines_changes_nothing(tab, explored, qtbot):
    plot, before = plot_of(tab, "flag_voxels"), explored.session.settings
    x = plot.x_of(line_of(tab, "flag_voxels").value)
    beside = round(x) + (30 if x < plot.width() / 2 else -30)
    QTest.mouseClick(plot, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, QPoint(beside, 30))
    qtbot.wait(150)
    assert explored.session.settings == before


def test_a_closed_scan_leaves_no_histogram(own_explored, qtbot):
    own_explored.tuning.setChecked(True)
    page = own_explored.bench.pages[HistogramsTab.title]
    own_explored.bench.tabs.setCurrentWidget(page)
    qtbot.waitUntil(lambda: any(column.isVisible() for column in page.columns))
    own_explored.viewer.layers.remove(own_explored.session.scan)
    assert own_explored.session.explorer is None
    assert not any(column.plot.shown for column in page.columns)
    assert page.empty.isVisible()


def test_the_line_in_the_dock_moves_the_threshold_of_voxels(explored, qtbot):
    section = explored.histogram
    section.expand(animate=False)
    section.refresh()
    plot = section.plot
    before = plot.shown.lines[0].value
    QTest.keyClick(plot, Qt.Key.Key_PageDown)
    qtbot.waitUntil(lambda: plot.shown.lines[0].value < before)
    assert explored.session.settings.flag_voxels == pytest.approx(plot.shown.lines[0].value)
    section.collapse(animate=False)
