"""Copying the command line and the Python, in the bench and in the Export menu."""

import pytest
from qtpy.QtGui import QGuiApplication


@pytest.fixture
def clipboard(qapp):
    before = QGuiApplication.clipboard().text()
    yield QGuiApplication.clipboard()
    QGuiApplication.clipboard().setText(before)


def test_both_menus_copy_the_analysis_with_its_settings(explored, clipboard, qtbot):
    explored.session.change(k=4.5)
    qtbot.waitUntil(lambda: explored.session.explorer.settings.k == 4.5)
    for action in (explored.export_menu.command, explored.bench.copying.menu().actions()[0]):
        clipboard.setText("")
        action.trigger()
        assert clipboard.text().startswith("napari-vqad score scan.nii.gz")
        assert "-k 4.5" in clipboard.text() or "--k 4.5" in clipboard.text()
        assert "save its layer as scan.nii.gz first" in explored.status.text()
    for action in (explored.export_menu.python, explored.bench.copying.menu().actions()[1]):
        action.trigger()
        assert "k=4.5" in clipboard.text().splitlines()[1]


def test_without_a_scan_there_is_nothing_to_copy(dock, clipboard):
    clipboard.setText("before")
    assert not dock.export_menu.command.isEnabled()
    dock.bench.copying.menu().actions()[0].trigger()
    assert clipboard.text() == "before"
