"""Detectors other than the vector-quantised one, in the viewer: views, settings and layers follow what they declare."""

import numpy as np
import pytest


@pytest.fixture
def analysed(explored, idle):
    """A bundle → the dock, with the small head analysed by it after it was analysed by the tiny one."""

    def run(title, folder):
        dock = explored
        dock.inputs.bundle.box.addItem(title, folder)
        dock.inputs.bundle.pick(folder)
        dock.start()
        idle(dock)
        return dock

    return run


def views(dock):
    """The texts of the buttons of views that can be pressed."""
    return [b.text() for b in dock.views.buttons() if not b.isHidden()]


def shown(dock):
    """The settings that can be seen, in open sections or closed ones."""
    return {name for name, widget in dock.widgets.items() if not widget.isHidden()}


def test_pca_in_the_dock(analysed, tiny_pca, tmp_path):
    dock = analysed("Tiny, PCA", tiny_pca)
    explorer = dock.session.explorer
    assert explorer.bundle.folder == tiny_pca
    assert views(dock) == ["Scan", "Restoration", "Residual", "Score", "Flagged"]
    assert {"flag_voxels", "pooling"} < shown(dock)
    assert not {"lambda_s", "lambda_p", "k", "n_restorations", "method", "lesions"} & shown(dock)
    assert set(dock.session.map_layers.layers) >= {"restoration", "residual", "pixel_score", "flagged"}
    assert "nll" not in dock.session.map_layers.layers
    for view in views(dock):
        dock.show_view(view)
        assert dock.session.map_layers.view == view
    assert dock.session.map_layers.layers["residual"].data.max() > 0


def test_the_histogram_answers_its_own_setting(analysed, tiny_histogram, idle):
    dock = analysed("Tiny, histogram", tiny_histogram)
    assert views(dock) == ["Scan", "Residual", "Score", "Flagged"]
    assert "lesions" in shown(dock)
    dock.show_view("Residual")
    before = np.array(dock.session.map_layers.layers["residual"].data)
    dock.widgets["lesions"].box.setCurrentText("bright")
    idle(dock)
    after = np.array(dock.session.map_layers.layers["residual"].data)
    assert dock.session.explorer.settings.lesions == "bright"
    assert not np.allclose(before, after)


def test_more_steps_of_a_search_continue_it(analysed, tiny_anogan, idle):
    dock = analysed("Tiny, AnoGAN", tiny_anogan)
    assert {"search_steps", "feature_weight", "seed"} <= shown(dock)
    assert not {"lambda_p", "n_restorations", "lesions", "descent_steps"} & shown(dock)
    dock.show_view("Residual")
    before = np.array(dock.session.map_layers.layers["residual"].data)
    dock.widgets["search_steps"].slide(110)
    idle(dock)
    assert dock.session.explorer.settings.search_steps == 110
    after = np.array(dock.session.map_layers.layers["residual"].data)
    assert np.abs(after - before).max() > 0
    assert np.abs(after - before).mean() < 0.2 * before.mean(), "ten steps more, not others"


def test_back_to_codes_the_views_are_back(analysed, tiny_pca, idle):
    dock = analysed("Tiny, PCA", tiny_pca)
    dock.inputs.bundle.box.setCurrentIndex(dock.inputs.bundle.box.findText("Tiny"))
    dock.start()
    idle(dock)
    assert "NLL" in views(dock)
    assert {"lambda_p", "k", "method"} < shown(dock)


def test_beside_a_model_of_codes(dock, comparison, tiny_bundle, tiny_pca, tiny_histogram, tiny_dfkde, qtbot):
    """Each shows the map that was asked for; one that has no such map shows the scan alone, and says so."""
    compare = comparison(dock.viewer)
    compare.inputs.brain.pick(dock.viewer.layers["ball"])
    for folder in (tiny_pca, tiny_histogram, tiny_dfkde):
        compare.offer(folder)
    assert [compare.what.itemText(i) for i in range(compare.what.count())] == ["NLL", "Residual", "Score"]
    compare.tick(tiny_bundle, tiny_pca, tiny_histogram, tiny_dfkde)
    compare.what.setCurrentText("Score")
    compare.start()
    qtbot.waitUntil(lambda: compare.status.text().endswith("Ready."), timeout=40_000)
    # By family: vector-quantised, density, classical.
    first, without, *others = compare.panels
    with_maps = [first, *others]
    assert [p.map.name for p in with_maps] == ["Tiny", "Tiny, PCA", "Tiny, histogram"]
    assert not without.map.visible
    assert "Tiny, DFKDE on features of tiny-vae has no map 'Score'" in compare.scales.text()
    for panel in with_maps:
        assert panel.map.visible
        assert panel.map.data.max() > 0
    compare.what.setCurrentText("NLL")
    assert [p.map.visible for p in compare.panels] == [True, False, False, False]
    assert "Tiny, PCA has no map 'NLL'" in compare.scales.text()
    compare.what.setCurrentText("Residual")
    assert [p.map.visible for p in compare.panels] == [True, False, True, True]
    compare.end()


def test_a_detector_that_scores_slices_only(analysed, tiny_dfkde, idle):
    """It has no maps, no findings and no settings of voxels, and whatever is pressed, slices are flagged."""
    dock = analysed("Tiny, DFKDE", tiny_dfkde)
    explorer = dock.session.explorer
    assert views(dock) == ["Scan"]
    assert not {"residual", "pixel_score", "flagged", "nll"} & set(dock.session.map_layers.layers)
    assert not {"lambda_s", "lambda_p", "k", "lesions"} & shown(dock)
    assert dock.widgets["flag_slices"].isEnabled()
    assert not dock.widgets["flag_voxels"].isEnabled()
    dock.widgets["flag_slices"].slide(0.5 * np.nanmin(explorer.slice_scores()))
    idle(dock)
    assert explorer.flagged_slices().sum() == explorer.n_slices
    for button in (dock.findings, dock.display.other, dock.display.box):
        button.click()
    dock.lists.step(1)
    idle(dock)
    assert not dock.session.review.found
