"""One direction and one number for a slice: slider, arrow keys, . and , profile, lists, canvas, report and files."""

import re

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit, QScrollBar, QWidget

from napari_vqad.export.report import report_html
from napari_vqad.imaging.slice_numbers import numbers
from napari_vqad.imaging.volume import SIDES
from napari_vqad.scoring import Result

STACKS = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}


@pytest.fixture(params=STACKS)
def stacked(request, explored, idle):
    """The head analysed along an axis, that stack on the canvas, and three slices flagged."""
    explored.session.change(axis=request.param, method="regenerative")
    explored.start()
    idle(explored)
    explored.viewer.dims.order = STACKS[request.param]
    explorer = explored.session.explorer
    scores = np.sort(explorer.slice_scores())
    explored.session.change(flag_slices=float(scores[-4] + scores[-3]) / 2)
    assert explorer.flagged_slices().sum() == 3
    return explored


def canvas_of(dock) -> QWidget:
    return next(w for w in dock.window().findChildren(QWidget) if "CanvasBackend" in type(w).__name__)


def slider_of(dock) -> QScrollBar:
    """napari's slider of the stack."""
    sliders = [w for w in dock.window().findChildren(QScrollBar) if "ModifiedScrollBar" in type(w).__name__]
    return next(s for s in sliders if s.isVisible())


def bar_of(dock) -> int:
    """At which bar of the profile, from the left, the mark is."""
    return int(np.flatnonzero(dock.profile.order == dock.profile.here)[0])


def number_of(dock) -> int:
    return int(numbers(dock.session.explorer.grid)[dock.session.current()])


def test_everything_runs_the_same_way(stacked, qtbot):
    session, slider, canvas = stacked.session, slider_of(stacked), canvas_of(stacked)
    session.go_to(len(session.explorer.grid) // 2)
    start = number_of(stacked), bar_of(stacked), slider.value()
    qtbot.keyClick(canvas, Qt.Key.Key_Right)
    assert (number_of(stacked), bar_of(stacked), slider.value()) == tuple(v + 1 for v in start)
    qtbot.keyClick(canvas, Qt.Key.Key_Left)
    slider.setValue(start[2] + 3)
    assert (number_of(stacked), bar_of(stacked)) == (start[0] + 3, start[1] + 3)

    found, flagged = numbers(session.explorer.grid), np.flatnonzero(session.explorer.flagged_slices())
    session.go_to(int(stacked.profile.order[0]))
    seen = []
    for _ in flagged:
        qtbot.keyClick(canvas, Qt.Key.Key_Period)
        seen.append(number_of(stacked))
    assert seen == sorted(found[flagged])
    qtbot.keyClick(canvas, Qt.Key.Key_Comma)
    assert number_of(stacked) == seen[-2]


def test_the_first_slice_is_at_the_top_in_front_or_on_the_right(stacked):
    session, slider = stacked.session, slider_of(stacked)
    grid, profile = session.explorer.grid, stacked.profile
    slider.setValue(slider.minimum())
    assert session.current() == profile.order[0] == len(grid) - 1
    positive, negative = SIDES[grid.axis]
    assert re.fullmatch(rf"\d+, {positive} \d+ mm", profile.shown.places[profile.order[0]])
    assert re.fullmatch(rf"\d+, {negative} \d+ mm", profile.shown.places[profile.order[-1]])


def test_a_slice_has_one_number_everywhere(stacked):
    session, viewer = stacked.session, stacked.viewer
    explorer = session.explorer
    grid = explorer.grid
    shown = next(w for w in stacked.window().findChildren(QLineEdit, "slice_label") if w.isVisible())
    stacked.findings.setChecked(True)
    stacked.lists.tabs.setCurrentWidget(stacked.lists.slices)
    stacked.lists.refresh()
    table = stacked.lists.slices.table
    listed = {table.item(row, 1).text(): table.item(row, 2).text() for row in range(table.rowCount())}
    result = Result(explorer, session.prepared.explorer.scan, session.prepared.mask, "As given.")
    numbers_ = result.as_dict()
    html = report_html(explorer, numbers_, session.review)
    flagged = np.flatnonzero(explorer.flagged_slices())
    assert len(listed) == len(flagged)
    for i in (*flagged, 0, len(grid) - 1):
        session.go_to(int(i))
        number = str(viewer.dims.current_step[viewer.dims.order[0]])
        assert shown.text() == number
        assert number == str(numbers_["slice_numbers"][i])
        words = viewer.canvas.overlays["vqad_words"].text
        assert words.splitlines()[0] == f"{explorer.settings.axis.capitalize()} {number}, {grid.slice_label(int(i))}"
        assert stacked.profile.shown.places[i] == f"{number}, {grid.slice_label(int(i))}"
        if i in flagged:
            assert listed[number] == str(round(grid.slice_mm(int(i))))
            assert f"slice {number}, {grid.slice_label(int(i))}: " in html
    first, last = stacked.widgets["slices"].first, stacked.widgets["slices"].last
    assert (first.value(), last.value()) == (min(numbers(grid)), max(numbers(grid)))
    for f in session.review.found:
        assert f.numbers == tuple(sorted(int(numbers(grid)[i]) for i in f.slices))


def test_a_range_of_slices_is_given_by_their_numbers(stacked, idle):
    first = stacked.widgets["slices"].first
    first.setValue(first.minimum() + 4)
    idle(stacked)
    explorer = stacked.session.explorer
    there = np.flatnonzero(np.isfinite(explorer.slice_scores()))
    assert numbers(explorer.grid)[there].min() == first.value()
    assert explorer.n_slices == len(explorer.grid) - 4
