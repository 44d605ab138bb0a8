"""A window that may say no to closing, and a widget that is docked, floating, or taken out."""

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_vqad.ui.plumbing import window_events as closing_module
from napari_vqad.ui.plumbing.connections import ViewerConnections
from napari_vqad.ui.plumbing.window_events import WindowEvents


class Window(QMainWindow):
    """Closes when it may, as napari does after asking."""

    may_close = False

    def closeEvent(self, event):
        event.setAccepted(self.may_close)


@pytest.fixture
def window(qtbot, monkeypatch):
    window = Window()
    qtbot.addWidget(window)
    window.dock, window.widget = QDockWidget(window), QWidget()
    window.dock.setWidget(window.widget)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, window.dock)
    window.heard = []
    window.losses, window.answers, window.asked = [], [], []
    closing = WindowEvents(window.widget, lambda: window.losses)
    closing.removed.connect(lambda: window.heard.append("removed"))
    closing.gone.connect(window.heard.append)
    other = QWidget(window.widget)  # one of several that watch
    WindowEvents(other).gone.connect(lambda gone: None)

    def ask(_window, losses):
        window.asked.append(losses)
        return window.answers.pop(0)

    monkeypatch.setattr(closing_module, "ask_to_close", ask)
    window.show()
    window.heard.clear()
    yield window
    window.may_close, window.losses = True, []
    window.close()


def test_a_no_is_not_the_end(window):
    assert not window.close()
    assert window.heard == []
    assert window.asked == []


def test_what_would_be_lost_is_asked_once_and_in_words(window, qtbot):
    window.may_close, window.losses, window.answers = True, ["Two verdicts are not saved."], [False, True, True]
    assert not window.close()
    assert window.isVisible()
    assert window.heard == []
    assert window.close()
    assert window.heard == [True]
    assert window.asked == 2 * [["Two verdicts are not saved."]]
    window.show()
    qtbot.wait(10)
    assert window.close(), "asked again after it was shown again"
    assert len(window.asked) == 3


class Cross(QCloseEvent):
    """As the window manager sends it, which cannot be done from Python."""

    def spontaneous(self):
        return True


def test_the_windows_cross_closes_it_after_one_question(window, qtbot):
    """napari asks of such an event by itself: it gets another one."""
    window.may_close, window.losses, window.answers = True, ["Work goes on."], [False, True]
    watcher = next(c for c in window.widget.children() if isinstance(c, WindowEvents))
    for visible in (True, False):
        event = Cross()
        assert watcher.eventFilter(window, event), "napari hears of it, too"
        assert not event.isAccepted()
        qtbot.waitUntil(lambda v=visible: window.isVisible() == v, timeout=2000)
    assert window.heard == [True]
    assert len(window.asked) == 2


@pytest.mark.parametrize("floating", [False, True])
def test_a_yes_is_the_end_wherever_the_widget_is(window, floating):
    window.dock.setFloating(floating)
    window.heard.clear()
    window.may_close = True
    assert window.close()
    assert window.heard == [True]
    window.show()
    assert window.heard == [True, False]


def test_a_widget_that_is_taken_out_is_told_from_a_window_that_asks(window):
    window.widget.setParent(None)
    assert window.heard == ["removed"]
    window.widget.deleteLater()


def test_widgets_that_end_before_their_viewer_hear_nothing_of_it():
    """A script may hold the viewer of a window that was closed."""
    viewer, heard = ViewerModel(), []
    connections = ViewerConnections(viewer)
    connections.connect(viewer.layers.events.removed, heard.append)
    connections.on_close(lambda: heard.append("end"))
    connections.remove()
    viewer.add_points()
    viewer.layers.clear()
    connections.close()
    assert heard == []
