"""Where a slice lies, in the dock and the lists: the scanner's mm, or of an oblique scan those along its own axis."""

import re
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QToolTip


@pytest.fixture(params=[0.0, 15.0], ids=("straight", "oblique"))
def head(head, request):
    """The small head, turned in the scanner about its left and right."""
    volume, mask = head
    c, s = np.cos(np.radians(request.param)), np.sin(np.radians(request.param))
    turn = np.eye(4)
    turn[1:3, 1:3] = [[c, -s], [s, c]]
    affine = turn @ volume.affine
    return replace(volume, affine=affine, file_affine=affine), mask


def test_millimetres_are_named(explored, qtbot, monkeypatch):
    explorer, profile = explored.session.explorer, explored.profile
    oblique = explorer.scan.oblique
    place = r"[+−]\d+ mm" if oblique else r"[SI] \d+ mm"
    own = " along the scan's own axis" if oblique else ""
    assert all(re.fullmatch(rf"\d+, {place}", words) for words in profile.shown.places)
    told = []
    monkeypatch.setattr(QToolTip, "showText", lambda _at, words, _widget: told.append(words))
    at, none = QPointF(profile.rect().center()), Qt.MouseButton.NoButton  # without the pointer, which may be there
    moved = QMouseEvent(QEvent.Type.MouseMove, at, profile.mapToGlobal(at), none, none, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(profile, moved)
    assert re.match(rf"Slice \d+, {place}{own}: ", told[-1])
    explored.session.change(flag_slices=0.0)
    explored.findings.setChecked(True)
    lists = explored.lists
    lists.tabs.setCurrentWidget(lists.slices)
    head = lists.slices.table.horizontalHeaderItem(2)
    assert head.text() == ("Own axis (mm)" if oblique else "S (mm)")
    assert ("the scan's own axis" if oblique else "Scanner coordinate") in head.toolTip()
    lists.tabs.setCurrentWidget(lists.gallery)
    qtbot.waitUntil(lambda: bool(re.match(rf"Slice \d+, {place}{own}: ", lists.gallery.words.text())))
