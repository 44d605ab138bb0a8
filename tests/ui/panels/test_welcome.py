"""The first five minutes: what an empty dock offers, and the tour."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_vqad.ui.panels.welcome import STOPS


@pytest.fixture
def empty(dock, qtbot):
    dock.viewer.layers.clear()
    qtbot.waitUntil(dock.welcome.isVisible)
    return dock


def press(qtbot, widget, text):
    button = next(b for b in widget.findChildren(QPushButton) if b.text() == text)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_an_empty_dock_offers_the_sample_and_puts_everything_in_place(empty, qtbot, idle):
    started = []
    empty.session.analyse = started.append  # the whole head would take minutes here
    press(qtbot, empty.welcome, "Sample head")
    assert started[0].scan.name == "Simulated head, lesions"
    assert not empty.welcome.isVisible()


def test_a_file_of_ones_own(empty, qtbot, head_file, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args, **_kwargs: (str(head_file), ""))
    press(qtbot, empty.welcome, "File …")
    assert empty.inputs.scan.value.name == "head"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args, **_kwargs: ("", ""))
    empty.viewer.layers.clear()
    press(qtbot, empty.welcome, "File …")  # the person changed their mind
    assert not empty.viewer.layers


def test_the_tour_by_keys_shows_every_stop_where_its_widget_is(explored, qtbot):
    tour = explored.tour
    tour.start()
    assert len(tour.stops) == len(STOPS)
    for number, stop in enumerate(list(tour.stops), start=1):
        assert tour.isVisible()
        assert tour.place.text() == f"{number} of {len(STOPS)}"
        assert stop.title in tour.words.text()
        view = explored.viewport().rect()
        assert view.contains(tour.geometry())
        assert view.intersects(tour.ring.geometry())
        assert not tour.geometry().intersects(tour.ring.geometry().adjusted(6, 6, -6, -6))
        qtbot.keyClick(tour, Qt.Key.Key_Right)
    assert not tour.isVisible()
    tour.start()
    qtbot.keyClick(tour, Qt.Key.Key_Right)
    qtbot.keyClick(tour, Qt.Key.Key_Left)
    assert tour.place.text().startswith("1 of")
    qtbot.keyClick(tour, Qt.Key.Key_Escape)
    assert not tour.isVisible()
    assert not tour.ring.isVisible()


def test_the_tour_leaves_out_what_is_hidden(empty, qtbot):
    press(qtbot, empty.welcome, "Tour")
    assert empty.tour.isVisible()
    assert "The scale" not in [stop.title for stop in empty.tour.stops]
