"""Two models beside each other: cells, linked slices, one percentile for both, bad input."""

import numpy as np
import pytest

from napari_vqad.ui.files.readers import scan_layer


@pytest.fixture
def compare(explored, comparison):
    """The widget beside the explorer's, in the viewer with the small head and its mask."""
    widget = comparison(explored.viewer)
    widget.inputs.brain.pick(explored.viewer.layers["ball"])
    return widget


@pytest.fixture
def compared(compare, compare_all):
    compare_all(compare)
    return compare


def cells(compare):
    """Where the grid puts scan and map of each model."""
    layers, grid = compare.viewer.layers, compare.viewer.canvas.grid
    assert grid.enabled
    return [{grid.position(layers.index(x), layers) for x in (p.scan, p.map)} for p in compare.panels]


def test_one_model_is_no_comparison(compare, tiny_bundle):
    compare.tick(tiny_bundle)
    compare.start()
    assert "two or more" in compare.status.text()
    assert not compare.panels


def test_a_cell_for_each_model_with_its_name(compared):
    viewer = compared.viewer
    assert [p.map.name for p in compared.panels] == ["Tiny", "Tiny, masked"]
    assert cells(compared) == [{(0, 0)}, {(0, 1)}]
    for panel in compared.panels:
        assert viewer.layers.index(panel.map) == viewer.layers.index(panel.scan) + 1
        assert panel.map.name_overlay.visible
        assert panel.map.units == panel.scan.units
        assert panel.map.data.max() > 0
    assert not np.array_equal(*(p.map.data for p in compared.panels))


def test_the_scale_of_nll_begins_at_the_same_percentile_of_each(compared, qtbot):
    compared.percentile.setValue(75.0)
    for panel in compared.panels:
        calibration = panel.explorer.bundle.calibration
        qtbot.waitUntil(
            lambda p=panel, c=calibration: p.map.contrast_limits[0] == pytest.approx(c.value("nll", "p75")),
            timeout=5000,
        )
        assert panel.explorer.settings.lambda_p == panel.explorer.settings.lambda_s == "p75.0"
        low = calibration.value("nll", "p75")
        assert f"{panel.explorer.bundle.title}: {low:.1f} to " in compared.scales.text()
    assert compared.scales.text().count(" nats") == 2


@pytest.mark.parametrize(("view", "table"), [("Residual", "residual"), ("Score", "pixel_score")])
def test_other_maps_begin_at_the_same_percentile_too(view, table, compared, qtbot):
    compared.what.setCurrentText(view)
    for percentile in (90.0, 98.0):
        compared.percentile.setValue(percentile)
        for panel in compared.panels:
            explorer = panel.explorer
            kind = explorer.settings.method if table == "residual" else explorer.bundle.pixel_kind(explorer.settings)
            low = explorer.bundle.calibration.value(table, f"p{percentile}", kind=kind)
            qtbot.waitUntil(lambda p=panel, v=low: p.map.contrast_limits[0] == pytest.approx(v), timeout=5000)
            assert low > 0
            assert f"{explorer.bundle.title}: {low:.1f} to " in compared.scales.text()
    assert "from the healthy p98.0" in compared.scales.text()


def test_score_restores_each_by_its_own_method(compared, qtbot):
    compared.what.setCurrentText("Score")
    qtbot.waitUntil(lambda: not compared._runner.running, timeout=20_000)
    assert [p.explorer.settings.method for p in compared.panels] == ["anchored", "masked"]
    for panel in compared.panels:
        brain = panel.explorer.grid.mask.any((1, 2))
        assert panel.explorer.ready("restoration")[brain].all()
        np.testing.assert_array_equal(panel.drawn, panel.explorer.map("pixel_score"))


def test_slices_are_linked(compared):
    viewer, grid = compared.viewer, compared.panels[0].explorer.grid
    viewer.dims.set_point(0, -grid.slice_mm(7))
    assert [p.explorer.focus for p in compared.panels] == [7, 7]


def test_again_with_the_same_models_leaves_no_old_layers(compared, qtbot):
    before = len(compared.viewer.layers)
    compared.start()
    qtbot.waitUntil(lambda: not compared._runner.running and compared.status.text().endswith("Ready."), timeout=20_000)
    assert len(compared.viewer.layers) == before


def test_cells_do_not_depend_on_what_lies_below(compared, qtbot):
    """One more layer below, hidden as the others are, and the same cells after another comparison."""
    compared.end()
    compared.viewer.add_points(np.zeros((1, 3)))
    compared.start()
    qtbot.waitUntil(lambda: compared.status.text().endswith("Ready."), timeout=20_000)
    assert cells(compared) == [{(0, 0)}, {(0, 1)}]
    for seen in (False, True):  # nor on what comes to lie above
        compared.viewer.add_points(np.zeros((1, 3)), visible=seen)
        assert cells(compared) == [{(0, 0)}, {(0, 1)}]


def test_the_end_brings_back_what_was_there(compare, compare_all):
    viewer, before = compare.viewer, compare.viewer.layers["head"]
    there = [layer.name for layer in viewer.layers]
    compare_all(compare)
    assert not before.visible
    window = tuple(compare.panels[0].scan.contrast_limits)
    assert window == tuple(before.contrast_limits)
    compare.leave.click()
    assert before.visible
    assert not viewer.canvas.grid.enabled
    assert viewer.canvas.grid.stride == 1
    assert [layer.name for layer in viewer.layers] == there
    compare.start()  # and again, in the same window of grey values
    assert tuple(before.contrast_limits) == window


def test_a_model_that_does_not_fit_cannot_be_ticked(compare, tmp_path):
    (tmp_path / "config.json").write_text("{")
    compare.offer(tmp_path)
    item = compare.models.item(compare.models.count() - 1)
    assert "cannot be used" in item.text()
    assert "JSON" in item.toolTip()
    compare.tick(tmp_path)
    assert not item.flags()


def test_a_broken_model_is_one_sentence(compare, tiny_bundle, tiny_masked, notices, qtbot, tmp_path):
    import shutil

    broken = shutil.copytree(tiny_masked, tmp_path / "broken")
    compare.offer(broken)
    (broken / "prior.safetensors").unlink()
    compare.tick(tiny_bundle, broken)
    compare.start()
    qtbot.waitUntil(lambda: bool(notices), timeout=20_000)
    assert "prior.safetensors is missing" in compare.status.text()
    qtbot.waitUntil(lambda: compare.go.isEnabled(), timeout=5000)
    assert not compare.panels


def test_ended_in_mid_work_it_says_how_to_begin(compare, tiny_bundle, tiny_masked, qtbot):
    begin = compare.status.text()
    compare.tick(tiny_bundle, tiny_masked)
    compare.start()
    qtbot.waitUntil(lambda: bool(compare.panels), timeout=20_000)
    compare.end()
    qtbot.wait(500)  # the worker's last words
    assert compare.status.text() == begin
    assert compare.go.isEnabled()
    assert not compare.stop.isEnabled()
    compare.start()
    qtbot.waitUntil(lambda: compare.status.text().endswith("Ready."), timeout=20_000)


def test_two_levels_beside_one(compare, tiny_bundle, tiny_two, qtbot):
    """The slider is a percentile of each map's own healthy values."""
    compare.offer(tiny_two)
    compare.tick(tiny_bundle, tiny_two)
    compare.start()
    qtbot.waitUntil(lambda: compare.status.text().endswith("Ready."), timeout=20_000)
    for panel in compare.panels:
        calibration = panel.explorer.bundle.calibration
        table, kind = ("nll_map", "all") if "nll_map" in calibration.own else ("nll", "")
        low = calibration.value(table, f"p{compare.percentile.value():.1f}", kind=kind)
        assert panel.map.contrast_limits[0] == pytest.approx(low)
        assert panel.map.data.max() > 0


def test_without_an_explorer_the_scan_is_drawn_on_after_the_end(
    make_napari_viewer, comparison, compare_all, head, qtbot
):
    viewer = make_napari_viewer(show=True)
    data, attributes, _kind = scan_layer(head[0])
    viewer.add_image(data, **attributes)
    widget = comparison(viewer)
    compare_all(widget)
    viewer.screenshot(canvas_only=True)
    widget.end()
    for by in range(4):  # what the cells drew is gone from the GL context: Mesa crashed at the second picture
        viewer.dims.set_point(0, viewer.dims.point[0] + by)
        qtbot.wait(50)
        picture = viewer.screenshot(canvas_only=True)
    assert picture[..., :3].std() > 1


def test_models_of_clips_are_not_offered_for_a_head(compare, tiny_bundle, tiny_clips, explored, make_clip, tmp_path):
    from napari_vqad.io.clips import read_clip
    from napari_vqad.ui.files.readers import clip_layers

    compare.offer(tiny_clips)
    compare.tick(tiny_bundle, tiny_clips)
    assert compare.ticked() == [tiny_bundle]
    box = explored.inputs.bundle.box
    box.addItem("Tiny, clips", tiny_clips)
    assert explored.inputs.bundle.value == tiny_bundle
    data, attributes, _ = clip_layers(read_clip(make_clip(tmp_path / "walk.npz")))[0]
    explored.viewer.add_image(data, **attributes)
    assert explored.inputs.bundle.value == tiny_clips
    assert compare.ticked() == [tiny_clips]
    explored.inputs.scan.pick(explored.viewer.layers["head"])
    assert explored.inputs.bundle.value == tiny_bundle
    assert [box.view().isRowHidden(row) for row in range(box.count())] == [False, True]


def test_neither_panel_takes_the_others_room(compare, explored, qtbot):
    window = explored.window()
    window.resize(1366, 768)
    assert explored.parentWidget() in window.tabifiedDockWidgets(compare.parentWidget())
    explored.parentWidget().raise_()
    qtbot.waitUntil(lambda: explored.height() > 400, timeout=2000)


def test_a_slice_that_waits_for_others_is_not_shown_as_if_it_were_done(compare, tiny_bundle, tiny_masked, gate, qtbot):
    gate.let = 2
    compare.what.setCurrentText("Score")
    compare.tick(tiny_bundle, tiny_masked)
    compare.start()
    qtbot.waitUntil(lambda: any(p.explorer.ready("restoration").any() for p in compare.panels), timeout=20_000)
    qtbot.waitUntil(lambda: "not final yet" in compare.scales.text(), timeout=5000)
    for panel in compare.panels:
        assert not panel.map.data.any()
        assert panel.map.name_overlay.position == "bottom_center"
    compare.cancel()
    qtbot.waitUntil(lambda: "Cancelled" in compare.status.text(), timeout=5000)
    assert "not final yet" in compare.scales.text()
