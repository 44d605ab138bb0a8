"""Restorations of the slice in view and the flagged slices, in a real viewer."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_vqad.display.slice_picture import PictureStyle
from napari_vqad.display.thumbnails import thumbnails_of
from napari_vqad.display.views import MEAN, SPREAD


@pytest.fixture
def lists(explored):
    explored.findings.setChecked(True)
    return explored.lists


def texts(gallery):
    return [gallery.pictures.item(row).text() for row in range(gallery.pictures.count())]


def click(qtbot, pictures, row):
    place = pictures.visualItemRect(pictures.item(row)).center()
    qtbot.mouseClick(pictures.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_a_thumbnail_for_the_mean_the_disagreement_and_each_restoration_with_its_weight(explored, lists, qtbot, idle):
    lists.tabs.setCurrentWidget(lists.gallery)
    explorer = explored.session.explorer
    weights = explorer.weights()[:, explorer.focus]
    expected = [f"{j}: w {100 * w:.1f} %" for j, w in enumerate(weights, start=1)]
    assert texts(lists.gallery) == ["mean of S", "SD of S", *expected]
    explored.session.change(n_restorations=2)
    idle(explored)
    qtbot.waitUntil(lambda: len(texts(lists.gallery)) == 4)
    other = int(np.flatnonzero(explorer.grid.mask.any((1, 2)))[0])
    explored.session.go_to(other)
    qtbot.waitUntil(lambda: explorer.grid.slice_label(other) in lists.gallery.words.text())


def test_by_click_and_arrow_key_a_restoration_is_shown(explored, lists, qtbot):
    lists.tabs.setCurrentWidget(lists.gallery)
    explored.show_view("Score")
    pictures, layers = lists.gallery.pictures, explored.session.map_layers.layers
    click(qtbot, pictures, 0)  # marked already, and not what is seen
    assert layers["restoration"].visible
    click(qtbot, pictures, 3)
    assert explored.view_name() == "Restoration"
    assert layers["restoration_j"].visible
    assert layers["restoration_j"].name == "Restoration 2"
    for _ in range(2):
        qtbot.keyClick(pictures, Qt.Key.Key_Left)
    assert explored.which.value() == SPREAD
    assert layers["disagreement"].visible
    assert not layers["restoration_j"].visible
    assert explored.legend.unit == "SD of healthy intensity"
    assert explored.legend.healthy is None  # nobody has measured it
    assert explored.which.text() == "SD of S"
    explored.which.setValue(MEAN)
    qtbot.waitUntil(lambda: pictures.currentItem().text() == "mean of S")


def test_the_one_that_was_clicked_is_marked_in_a_long_gallery(explored, lists, qtbot, idle):
    explored.session.change(n_restorations=30)
    idle(explored)
    lists.tabs.setCurrentWidget(lists.gallery)
    pictures = lists.gallery.pictures
    qtbot.waitUntil(lambda: pictures.count() == 32)
    pictures.scrollToItem(pictures.item(31))
    scrolled = pictures.horizontalScrollBar().value()
    click(qtbot, pictures, 29)
    qtbot.wait(250)  # longer than the pause between two refreshes
    assert [item.text().split(":")[0] for item in pictures.selectedItems()] == ["28"]
    assert explored.which.value() == 28
    assert pictures.horizontalScrollBar().value() == pytest.approx(scrolled, abs=pictures.gridSize().width())


def test_a_single_one_has_no_sd_and_no_others_to_choose(explored, lists, qtbot, idle):
    explored.which.setValue(3)
    explored.session.change(method="regenerative")
    idle(explored)
    lists.tabs.setCurrentWidget(lists.gallery)
    qtbot.waitUntil(lambda: texts(lists.gallery) == ["mean of S", "1: w 100.0 %"])
    assert explored.which.value() == explored.which.maximum() == 1


def test_flagged_slices_by_rank_and_a_click_goes_there(explored, lists, qtbot):
    explored.session.change(flag_slices=0.0)
    lists.tabs.setCurrentWidget(lists.slices)
    explorer, table = explored.session.explorer, lists.slices.table
    scores, flagged = explorer.slice_scores(), np.flatnonzero(explorer.flagged_slices())
    assert table.rowCount() == len(flagged) > 1
    seen = [table.item(row, 3).data(Qt.ItemDataRole.DisplayRole) for row in range(table.rowCount())]
    assert seen == [round(float(s)) for s in sorted(scores[flagged], reverse=True)]
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=table.visualItemRect(table.item(0, 0)).center())
    assert explored.session.current() == flagged[scores[flagged].argmax()]
    table.setCurrentCell(1, 0)
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert scores[explored.session.current()] == sorted(scores[flagged])[-2]
    qtbot.wait(250)  # longer than the pause between two refreshes
    table.setCurrentCell(len(flagged) - 1, 0)
    explored.session.drawn.emit()  # as while slices are being done
    qtbot.wait(250)
    assert table.currentRow() == len(flagged) - 1
    highest = float(np.nanmax(scores))
    explored.session.change(flag_slices=highest)
    qtbot.waitUntil(lambda: table.rowCount() == 0)
    assert "No slice is flagged" in lists.slices.words.text()


def test_thumbnails_follow_the_window_at_once(explored, lists, qtbot):
    """By key, by napari's own slider of the scan, and by that of a restoration, with no other reason to be drawn."""
    lists.tabs.setCurrentWidget(lists.gallery)
    map_layers, explorer, gallery = explored.session.map_layers, explored.session.explorer, lists.gallery
    low, high = map_layers.scan.contrast_limits
    for act in (
        lambda: explored.display.windowing.preset("Wide"),
        lambda: setattr(map_layers.scan, "contrast_limits", (low + 40, high + 90)),
        lambda: setattr(map_layers.layers["restoration_j"], "contrast_limits", (-1.0, 3.0)),
    ):
        before = gallery._thumbnails[2].rgb
        act()
        found = explorer.restorations(explorer.focus)
        expected = thumbnails_of(explorer, found, PictureStyle(map_layers.window, False))
        assert not np.array_equal(before, expected[2].rgb)
        qtbot.waitUntil(lambda e=expected: np.array_equal(gallery._thumbnails[2].rgb, e[2].rgb), timeout=2000)
