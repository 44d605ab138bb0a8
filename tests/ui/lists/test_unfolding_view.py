"""A restoration step by step in the lists below the canvas."""

import numpy as np
import pytest

from napari_vqad.engine.unfolding import unfolding


@pytest.fixture
def view(explored, qtbot):
    """The tab, seen, with the first restoration of the slice in view."""
    explored.findings.setChecked(True)
    explored.lists.tabs.setCurrentWidget(explored.lists.unfolding)
    view = explored.lists.unfolding
    qtbot.waitUntil(lambda: view.slider.maximum() > 0)
    return view


def test_the_slider_shows_the_first_draws(explored, view):
    explorer = explored.session.explorer
    found = unfolding(explorer, explorer.focus, 0)
    assert (view.slider.value(), view.slider.maximum()) == (found.steps, found.steps)
    assert f"restoration 1: {found.steps} of {found.steps} unlikely codes restored so far" in view.words.text()
    assert [title.text() for _, title in view.panels] == ["Codes (bright: drawn)", "NLL (nats)", "Picture"]
    finished = [p.rgb for p in view._drawn[0]]
    view.slider.setValue(0)
    assert f"0 of {found.steps}" in view.words.text()
    assert not np.array_equal(finished[0], view._drawn[0][0].rgb)
    assert all(not picture.pixmap().isNull() for picture, _ in view.panels)
    before = view._drawn
    explored.session.redraw()  # nothing else: the slider stays, and nothing is computed again
    explored.lists.refresh()
    assert view.slider.value() == 0
    assert view._drawn is before
    explored.session.map_layers.set_window((-1.0, 1.5))
    explored.lists.refresh()
    assert view._drawn is not before


def test_it_plays_to_the_end(view, qtbot, monkeypatch):
    steps = view.slider.maximum()
    seen = []
    view.slider.valueChanged.connect(seen.append)
    view._timer.setInterval(1)
    view.play.click()
    qtbot.waitUntil(lambda: not view.play.isChecked(), timeout=10_000)
    assert seen[-steps:] == list(range(1, steps + 1))
    view._timer.setInterval(120)


def test_another_slice_begins_anew_and_without_codes_it_says_so(explored, view, idle, qtbot):
    view.slider.setValue(1)
    explored.session.go_to(explored.session.current() + 2)
    qtbot.waitUntil(lambda: view.slider.value() == view.slider.maximum())
    explored.session.change(method="regenerative")
    idle(explored)
    qtbot.waitUntil(lambda: "nothing is restored" in view.words.text())
    assert not view.play.isEnabled()
    explored.viewer.layers.remove("head")
    qtbot.waitUntil(lambda: "appears here" in view.words.text())
    assert all(picture.pixmap().isNull() for picture, _ in view.panels)
