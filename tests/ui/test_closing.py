"""A window that may say no to closing, and a widget that is docked, floating, or taken out."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_vqad.ui.closing import Closing


class Window(QMainWindow):
    """Closes when it may, as napari does after asking."""

    may_close = False

    def closeEvent(self, event):
        event.setAccepted(self.may_close)


@pytest.fixture
def window(qtbot):
    window = Window()
    qtbot.addWidget(window)
    window.dock, window.widget = QDockWidget(window), QWidget()
    window.dock.setWidget(window.widget)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, window.dock)
    window.heard = []
    closing = Closing(window.widget)
    closing.leaving.connect(lambda: window.heard.append("leaving"))
    closing.removed.connect(lambda: window.heard.append("removed"))
    closing.gone.connect(window.heard.append)
    window.show()
    window.heard.clear()
    yield window
    window.may_close = True
    window.close()


def test_a_no_is_not_the_end(window):
    assert not window.close()
    assert window.heard == ["leaving"]


@pytest.mark.parametrize("floating", [False, True])
def test_a_yes_is_the_end_wherever_the_widget_is(window, floating):
    window.dock.setFloating(floating)
    window.heard.clear()
    window.may_close = True
    assert window.close()
    assert window.heard == ["leaving", True]
    window.show()
    assert window.heard == ["leaving", True, False]


def test_a_widget_that_is_taken_out_is_told_from_a_window_that_asks(window):
    window.widget.setParent(None)
    assert window.heard == ["removed"]
    window.widget.deleteLater()
