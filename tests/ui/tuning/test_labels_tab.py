"""The tab Labels, driven by its widgets: labels are chosen, sliders move, and the figures are those of the engine."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import write_map
from napari_vqad.tuning.figure_words import BEST_DICE
from napari_vqad.tuning.figures import Figures
from napari_vqad.tuning.labelled_scan import LabelledScan
from napari_vqad.tuning.truth import Truth
from napari_vqad.ui.files.readers import label_layer
from napari_vqad.ui.layers import placement
from napari_vqad.ui.tuning.labels_tab import CHOOSE, LabelsTab


@pytest.fixture
def label(head):
    found = np.zeros(head[1].shape, bool)
    found[12:18, 14:20, 12:18] = True
    return found


@pytest.fixture
def add_labels(explored, head):
    """Add a layer with labels to the viewer, on the scan's voxels unless it has another affine."""

    def add(voxels, name="lesion", affine=None):
        affine = head[0].affine if affine is None else affine
        data, attributes, _ = label_layer(Volume(voxels.astype(np.float32), affine, affine), name)
        return explored.viewer.add_labels(data, **attributes)

    return add


@pytest.fixture
def tab(explored):
    explored.tuning.setChecked(True)
    page = explored.bench.pages[LabelsTab.title]
    explored.bench.tabs.setCurrentWidget(page)
    yield page
    page.pools.pool.scans.clear()
    page.pools.refresh()
    page.truth.combo.pick(None)
    page.truth.folders.clear()
    page.truth.by_hand = False


@pytest.fixture
def counted(tab, qtbot):
    """Wait until the figures are of the present settings and labels, those of a new analysis by the engine."""

    def wait(label, explored):
        explorer, mask = explored.session.explorer, explored.session.prepared.mask

        def settled():
            if tab._slot.running or tab.counts is None or tab.words.text().startswith("These"):
                return False
            fresh = Figures.of([LabelledScan(explorer, Truth(label, "x"), mask).measure(explorer)])
            shown, limit = tab.figures(), explorer.thresholds()["flag_voxels"]
            same = np.array_equal([*vars(shown.voxels.ranking).values()], [*vars(fresh.voxels.ranking).values()])
            at = value(tab, "Dice at slider") == f"{fresh.voxels.at(limit).dice:.3f}"
            return same and at and shown.lesions == fresh.lesions

        qtbot.waitUntil(settled, timeout=10_000)

    return wait


def value(tab, name):
    """What the table says of a figure."""
    return next(v.text() for n, v in zip(tab.table.names, tab.table.values, strict=True) if n.text() == name)


def test_the_only_labels_of_the_scan_are_chosen_and_compared(tab, explored, add_labels, label, counted):
    """The brain mask is a Labels layer of the scan's voxels, too, and is not taken for lesions."""
    assert tab.truth.value is None
    assert tab.words.text() == CHOOSE
    assert tab.roc.shown is None
    layer = add_labels(label)
    counted(label, explored)
    assert tab.truth.value is layer
    assert value(tab, "lesions found") in ("0 of 1", "1 of 1")
    assert "Thresholds chosen on the scan that is shown describe this scan only." in tab.words.text()
    before = value(tab, "sensitivity at slider"), value(tab, "voxel AP"), tab.roc.shown.lines[0].marker
    values = tab.figures().voxels.values
    explored.sections.slider("flag_voxels").slide(float(values[len(values) // 4]))
    counted(label, explored)
    assert value(tab, "sensitivity at slider") != before[0]
    assert value(tab, "voxel AP") == before[1]
    assert tab.roc.shown.lines[0].marker != before[2]
    explored.sections.choice("pooling").box.setCurrentText("none")
    counted(label, explored)
    assert value(tab, "voxel AP") != before[1]


def test_a_click_on_a_curve_sets_the_threshold(tab, explored, add_labels, label, counted, qtbot):
    add_labels(label)
    counted(label, explored)
    line = tab.roc.shown.lines[0]
    i = int(np.abs(line.x - 0.3).argmin())
    QTest.mouseClick(tab.roc, Qt.MouseButton.LeftButton, pos=tab.roc.place(line.x[i], line.y[i]).toPoint())
    qtbot.waitUntil(lambda: isinstance(explored.session.settings.flag_voxels, float))
    counted(label, explored)
    assert tab.roc.shown.lines[0].marker[0] == pytest.approx(0.3, abs=0.05)
    assert explored.session.settings.flag_voxels in line.thresholds.astype(float)
    link = tab.table.values[[n.text() for n in tab.table.names].index(BEST_DICE)]
    link.linkActivated.emit(link.text().partition('href="')[2].partition('"')[0])
    counted(label, explored)
    assert value(tab, "Dice at slider") == value(tab, BEST_DICE).partition(" ")[0]


def test_paint_changes_the_figures(tab, explored, add_labels, label, counted):
    layer = add_labels(label)
    counted(label, explored)
    before = value(tab, "voxel AUROC")
    layer.brush_size, layer.n_edit_dimensions = 4, 3
    layer.paint((14.0, 16.0, 7.0), 2)  # as a click of the brush does
    painted = placement.from_canvas(layer.data) > 0
    assert painted.sum() > label.sum()
    counted(painted, explored)
    assert value(tab, "voxel AUROC") != before
    assert value(tab, "lesions found").endswith("of 2")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("none", "No analysed voxel of this scan is labelled"),
        ("outside", "All labelled voxels lie outside the brain mask"),
        ("away", "do not overlap"),
        ("finer", "they were resampled"),
    ],
)
def test_labels_that_do_not_fit_say_so(kind, words, tab, add_labels, label, head, qtbot):
    affine, voxels = head[0].affine.copy(), label
    if kind == "none":
        voxels = np.zeros_like(label)
    elif kind == "outside":
        voxels = ~head[1]
    elif kind == "away":
        affine[:3, 3] += 1000
    else:
        voxels, affine = np.kron(label, np.ones((2, 2, 2), bool)), affine @ np.diag([0.5, 0.5, 0.5, 1])
    layer = add_labels(voxels, affine=affine)
    qtbot.waitUntil(lambda: any(value is layer for _, value in tab.truth.combo.items()))
    tab.truth.combo.pick(layer)
    qtbot.waitUntil(lambda: words in tab.words.text())
    if kind == "none":
        assert value(tab, "voxel AUROC") == "–"
        assert tab.roc.shown is None
    assert (tab.counts is None) == (kind == "away")


def test_a_folder_of_label_files(tab, explored, label, head, counted, tmp_path, monkeypatch, qtbot):
    (tmp_path / "labels").mkdir()
    combo = tab.truth.combo.box
    monkeypatch.setattr("qtpy.QtWidgets.QFileDialog.getExistingDirectory", lambda *_: str(tmp_path / "labels"))

    def choose():
        combo.setCurrentIndex(combo.count() - 1)
        combo.activated.emit(combo.count() - 1)

    qtbot.waitUntil(lambda: combo.count() > 1)
    choose()
    qtbot.waitUntil(lambda: "has no label file for" in tab.words.text())
    name = explored.session.explorer.scan.name
    write_map(tmp_path / "labels" / f"{name}_label.nii.gz", label.astype(np.uint8), head[0])
    choose()
    counted(label, explored)
    assert tab.truth.value == tmp_path / "labels"


def test_the_pool(tab, explored, add_labels, label, counted, qtbot):
    layer = add_labels(label)
    counted(label, explored)
    tab.pools.add.click()
    tab.pools.of.pick("pool")
    alone = [v.text() for v in tab.table.values]
    assert tab.figures().scans == 1
    assert "Thresholds chosen on this scan describe this scan only." in tab.words.text()
    name, scan = explored.session.scan.name, explored.session.scan
    try:
        scan.name = "another"
        tab.pools.add.click()
    finally:
        scan.name = name
    assert tab.figures().scans == 2
    assert f"In the pool: {name}, another." in tab.words.text()
    assert value(tab, "voxel AUROC") == alone[0]  # the same voxels twice
    assert value(tab, "lesions found").endswith("of 2")
    explored.sections.choice("pooling").box.setCurrentText("none")
    qtbot.waitUntil(lambda: "another Pooling" in tab.words.text())
    assert tab.roc.shown.lines[0].marker is None
    qtbot.waitUntil(lambda: not tab._slot.running and tab.pools.add.isEnabled())
    tab.pools.add.click()
    assert "Restore it, or remove these scans first" in tab.words.text()
    explored.viewer.layers.remove(layer)
    assert tab.figures().scans == 2
    tab.pools.menu.actions()[0].trigger()
    assert list(tab.pools.pool.scans) == ["another"]
    tab.pools.menu.actions()[0].trigger()
    assert not tab.pools.shows_pool
    assert not tab.pools.remove.isEnabled()


def test_numbers_are_copied_with_scan_model_and_settings(tab, explored, add_labels, label, counted):
    add_labels(label)
    counted(label, explored)
    tab.copy.click()
    lines = dict(line.split("\t") for line in QApplication.clipboard().text().splitlines())
    assert lines["scan"] == explored.session.scan.name
    assert lines["labels"] == "the layer 'lesion'"
    assert lines["model"] == explored.session.explorer.bundle.name
    assert lines["lambda_p"] == str(explored.session.settings.lambda_p)
    exact = tab.figures().voxels
    assert float(lines["voxel AUROC"]) == pytest.approx(exact.ranking.auroc, rel=1e-5)
    assert float(lines["best Dice, threshold"]) == pytest.approx(exact.best, rel=1e-5)


def test_without_a_scan_nothing_is_left(own_explored, head, label, qtbot):
    dock = own_explored
    dock.tuning.setChecked(True)
    tab = dock.bench.pages[LabelsTab.title]
    dock.bench.tabs.setCurrentWidget(tab)
    data, attributes, _ = label_layer(Volume(label.astype(np.float32), head[0].affine, head[0].affine), "lesion")
    dock.viewer.add_labels(data, **attributes)
    qtbot.waitUntil(lambda: tab.counts is not None)
    dock.viewer.layers.remove(dock.session.scan)
    assert tab.counts is None
    assert tab.words.text() == "Analyse a scan to compare it with labels."
    assert tab.roc.shown is None
    assert not tab.copy.isEnabled()
