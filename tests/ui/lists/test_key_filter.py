"""Keys pressed while a list has the focus: those of the canvas reach it, those of the list stay."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_vqad.display.window import PRESETS
from napari_vqad.ui.canvas.window_level import KEYS
from napari_vqad.ui.plumbing import shortcuts


@pytest.fixture(params=["slices", "gallery"])
def focused(request, explored, qtbot):
    """The dock, and the view of a tab of the lists that has the focus."""
    explored.session.change(flag_slices=0.0)
    explored.findings.setChecked(True)
    tab = getattr(explored.lists, request.param)
    explored.lists.tabs.setCurrentWidget(tab)
    view = tab.table if request.param == "slices" else tab.pictures
    explored.window().activateWindow()
    qtbot.waitUntil(lambda: view.model().rowCount() > 2)
    view.setFocus()
    qtbot.waitUntil(view.hasFocus)
    return explored, view


def test_keys_of_the_canvas_are_heard_in_the_lists(focused, qtbot):
    dock, view = focused
    session, display = dock.session, dock.display
    flagged = np.flatnonzero(session.explorer.flagged_slices())
    session.go_to(int(flagged[-1]))
    qtbot.keyClick(view, shortcuts.NEXT)
    assert session.current() == flagged[-2]
    qtbot.keyClick(view, shortcuts.PREVIOUS)
    assert session.current() == flagged[-1]
    for name, key in KEYS.items():
        window = PRESETS[name].window
        qtbot.keyClick(view, key)
        assert session.map_layers.window == pytest.approx(window)
    qtbot.keyClick(view, shortcuts.TURN)
    assert display.sides.isChecked()
    qtbot.keyClick(view, shortcuts.BOXES)
    assert display.box.isChecked()
    qtbot.keyClick(view, shortcuts.FLICKER)
    assert display.flickering.running
    qtbot.keyClick(view, shortcuts.FLICKER)
    assert not display.flickering.running
    dock.show_view("Score")
    shown = session.map_layers.layers["pixel_score"]
    qtbot.keyPress(view, shortcuts.ORIGINAL)
    assert not shown.visible
    qtbot.keyRelease(view, shortcuts.ORIGINAL)
    assert shown.visible


@pytest.mark.parametrize("by", [shortcuts.NEXT_FINDING, shortcuts.PREVIOUS_FINDING])
def test_to_a_finding_from_the_lists(focused, qtbot, by):
    dock, view = focused
    shift = Qt.KeyboardModifier.ShiftModifier if by.startswith("Shift") else Qt.KeyboardModifier.NoModifier
    steps = []
    dock.lists.findings_table.step = steps.append
    qtbot.keyClick(view, by[-1], shift)
    assert steps == [1 if by == shortcuts.NEXT_FINDING else -1]


def test_the_lists_keep_their_own_keys(focused, qtbot):
    _dock, view = focused
    rows = view.model().rowCount()
    ahead, back = (Qt.Key.Key_Down, Qt.Key.Key_Up) if hasattr(view, "rowCount") else (Qt.Key.Key_Right, Qt.Key.Key_Left)
    control = Qt.KeyboardModifier.ControlModifier if hasattr(view, "rowCount") else Qt.KeyboardModifier.NoModifier
    qtbot.keyClick(view, Qt.Key.Key_Home, control)
    assert view.currentIndex().row() == 0
    qtbot.keyClick(view, ahead)
    assert view.currentIndex().row() == 1
    qtbot.keyClick(view, back)
    assert view.currentIndex().row() == 0
    qtbot.keyClick(view, Qt.Key.Key_End, control)
    assert view.currentIndex().row() == rows - 1
