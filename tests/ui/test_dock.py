"""The dock in a real viewer: what a person does, and what they see."""

import time

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QWidget

from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.display.controls import TITLES, names_of
from napari_vqad.display.views import layer_name, views_of
from napari_vqad.engine.dependencies import Dependencies
from napari_vqad.ui.layers import placement
from napari_vqad.ui.layers.map_layers import MASK_NAME
from napari_vqad.ui.plumbing.shortcuts import NEXT, ORIGINAL, PREVIOUS

NAMES = {"mask": MASK_NAME} | {n: layer_name(s) for n, s in Dependencies(VQDetector).maps.items()}


def canvas_of(dock) -> QWidget:
    """The widget that hears the keys of the viewer."""
    return next(w for w in dock.window().findChildren(QWidget) if "CanvasBackend" in type(w).__name__)


def seen(dock) -> set[str]:
    """Names of the visible layers."""
    return {layer.name for layer in dock.viewer.layers if layer.visible}


def of_map(dock, name):
    """A map of the explorer, as its layer must show it."""
    explorer = dock.session.explorer
    return placement.to_canvas(explorer.grid.stack_to_ras(explorer.map(name)))


# ---- before an analysis -----------------------------------------------------------------------------------------


def test_newest_scan_is_picked(dock, head_file):
    assert dock.inputs.scan.value is dock.viewer.layers["head"]
    dock.viewer.add_image(np.zeros((4, 5, 6)), name="another")
    assert dock.inputs.scan.value is dock.viewer.layers["another"]
    dock.viewer.layers.remove("another")
    assert dock.inputs.scan.value is dock.viewer.layers["head"]


def test_pictures_that_are_no_scans_are_not_offered(dock):
    dock.viewer.add_image(np.zeros((4, 5)), name="flat")
    dock.viewer.add_image(np.zeros((4, 5, 6, 3), np.uint8), rgb=True, name="colour")
    offered = [text for text, _ in dock.inputs.scan.items()]
    assert offered == ["head"]


def test_without_a_scan_it_says_what_to_do(dock):
    dock.viewer.layers.clear()
    dock.start()
    assert "Open Sample" in dock.status.text()
    assert dock.session.explorer is None


def test_every_setting_has_a_knob_with_label_and_tooltip(dock):
    assert set(dock.widgets) == set(Settings.model_fields) == {n for title in TITLES for n in names_of(title)}
    for name, knob in dock.widgets.items():
        assert knob.toolTip() == Settings.model_fields[name].description
    for button in dock.views.buttons():
        assert button.toolTip()


def test_dock_is_narrow(dock):
    assert dock.width() <= 420
    # Nothing inside is cut: the body needs no more than a 13-inch screen can give.
    assert dock.widget().minimumSizeHint().width() <= dock.maximumWidth()


def test_a_percentile_is_no_number_before_a_model_has_said_which(dock):
    """λ_s is 1.0 in these tests, λ_p a percentile."""
    p, s, voxels = (dock.widgets[name] for name in ("lambda_p", "lambda_s", "flag_voxels"))
    assert p.note.text() == "Above 20 % of healthy codes; its number is shown after an analysis."
    assert voxels.note.text() == "1 false finding per healthy scan; its number is shown after an analysis."
    assert not p.isEnabled()
    assert p.slider.edgeLabelMode() == p.slider.EdgeLabelMode.NoLabel
    assert s.isEnabled()
    assert s.slider.edgeLabelMode() == s.slider.EdgeLabelMode.LabelIsValue
    assert not dock.views_row.isEnabled()


# ---- an analysis ------------------------------------------------------------------------------------------------


def test_layers_in_field_terms_all_in_mm(explored):
    layers = explored.viewer.layers
    assert set(NAMES.values()) <= {layer.name for layer in layers}
    for layer in layers:
        assert {str(u) for u in layer.units} == {"millimeter"}, layer.name
        assert layer.axis_labels == layers["head"].axis_labels
    np.testing.assert_array_equal(layers[NAMES["pixel_score"]].data, of_map(explored, "pixel_score"))
    assert layers[NAMES["mask"]].contour == 1
    assert "ball" in explored.session.note
    # Thresholds in their unit and as a healthy percentile.
    limit = explored.session.explorer.thresholds()["lambda_p"]
    assert f"{limit:.2f} nats" in explored.widgets["lambda_p"].note.text()
    assert "20.0 % of healthy codes" in explored.widgets["lambda_p"].note.text()


def test_one_scale_for_all_scans(explored, idle):
    """A brighter scan must not change what a colour means."""
    names = [NAMES[n] for n in ("nll", "residual", "pixel_score")]
    before = [explored.viewer.layers[n].contrast_limits for n in names]
    volume = explored.session.explorer.scan
    scan = explored.viewer.layers["head"]
    explored.viewer.add_image(
        5 * scan.data + 100, name="bright", **placement.placed_as(volume), contrast_limits=(0, 5000)
    )
    explored.start()
    idle(explored)
    assert explored.session.explorer.scan.name == "bright"
    assert [explored.viewer.layers[n].contrast_limits for n in names] == before
    assert [layer.name for layer in explored.viewer.layers].count(NAMES["nll"]) == 1


def test_a_view_shows_one_question(explored):
    ours = {layer.name for layer in explored.session.map_layers.layers.values()} - {NAMES["mask"]}
    shown = {v.name: [v.map] if v.map else [] for v in views_of(explored.session.explorer.maps)}
    for view, names in shown.items():
        explored.show_view(view)
        assert seen(explored) & ours == {NAMES[n] for n in names}
        assert "head" in seen(explored)
        for name in names:
            if not name.startswith("restoration"):
                np.testing.assert_array_equal(explored.viewer.layers[NAMES[name]].data, of_map(explored, name))


def test_sliders_change_what_is_seen_at_once(explored, qtbot):
    places = []
    for view in ("Flagged", "Score"):  # without and with a colour bar: what stands below it does not jump
        explored.show_view(view)
        qtbot.wait(20)
        places.append([w.mapTo(explored.widget(), QPoint()).y() for w in (explored.beside, explored.profile)])
    assert places[0] == places[1]
    assert explored.widgets["lambda_p"].isEnabled()
    assert (
        explored.widgets["lambda_p"].slider.edgeLabelMode() != explored.widgets["lambda_p"].slider.EdgeLabelMode.NoLabel
    )
    layer = explored.viewer.layers[NAMES["pixel_score"]]
    before = layer.data.copy()
    explored.widgets["k"].slider.setValue(10.0)
    qtbot.waitUntil(lambda: explored.session.settings.k == 10.0, timeout=2000)
    assert not np.array_equal(layer.data, before)
    np.testing.assert_array_equal(layer.data, of_map(explored, "pixel_score"))


def test_lambda_s_moves_scores_and_flags(explored, qtbot):
    before = explored.profile.scores.copy()
    explored.widgets["lambda_s"].slider.setValue(3.5)
    qtbot.waitUntil(lambda: explored.session.settings.lambda_s == 3.5, timeout=2000)
    assert (explored.profile.scores <= before).all()
    assert explored.profile.scores.sum() < before.sum()
    flagged = int(explored.session.explorer.flagged_slices().sum())
    assert explored.count.text().startswith(f"{flagged} of ")


def test_lambda_p_restores_anew(explored, qtbot, idle):
    before = explored.session.explorer.results("restoration", "codes").copy()
    explored.widgets["lambda_p"].slider.setValue(3.5)
    qtbot.waitUntil(lambda: explored.session.settings.lambda_p == 3.5, timeout=2000)
    idle(explored)
    assert (explored.session.explorer.results("restoration", "codes") != before).any()


def test_more_restorations_are_drawn_to_the_end(explored, qtbot, idle):
    explored.widgets["n_restorations"].slider.setValue(5)
    qtbot.waitUntil(lambda: explored.session.settings.n_restorations == 5, timeout=2000)
    idle(explored)
    assert explored.session.explorer.weights().shape[0] == 5


def test_sliders_of_restorations_are_off_where_there_are_none(explored, idle):
    off = lambda: {name for name, knob in explored.widgets.items() if not knob.isEnabled()}  # noqa: E731
    assert off() == set()
    explored.session.change(method="regenerative")
    idle(explored)
    assert off() == {"lambda_p", "n_restorations", "k", "seed", "distance"}
    explored.session.change(method="light")
    assert off() == set()


def test_a_drag_ends_where_it_was_let_go(explored, qtbot, idle):
    """Leading and trailing: the many values between may be skipped, the last one never."""
    slider = explored.widgets["lambda_p"].slider
    for value in np.linspace(slider.maximum(), 1.0, 30):
        slider.setValue(float(value))
    qtbot.waitUntil(lambda: explored.session.settings.lambda_p == pytest.approx(1.0, abs=0.01), timeout=2000)
    idle(explored)


def test_one_restoration_by_its_number(explored):
    explored.show_view("Restoration")
    explored.which.setValue(2)
    layer = explored.session.map_layers.layers["restoration_j"]
    assert layer.name == "Restoration 2"
    assert seen(explored) & set(NAMES.values()) == set()
    assert layer.visible
    grid = explored.session.explorer.grid
    inside = placement.to_canvas(grid.stack_to_ras(grid.mask))
    expected = placement.to_canvas(grid.stack_to_ras(explored.session.explorer.map("restoration_j", 1)))
    np.testing.assert_allclose(np.asarray(layer.data)[inside], expected[inside])


def test_key_flickers_to_the_scan_while_held_and_side_by_side(explored, qtbot):
    explored.show_view("Restoration")
    shown = seen(explored)
    canvas = canvas_of(explored)
    canvas.setFocus()
    qtbot.keyPress(canvas, ORIGINAL)
    assert seen(explored) == {"head"} | (shown & {"ball"})
    qtbot.keyRelease(canvas, ORIGINAL)
    assert seen(explored) == shown

    explored.beside.setChecked(True)
    assert explored.viewer.canvas.grid.enabled
    explored.beside.setChecked(False)
    assert not explored.viewer.canvas.grid.enabled


# ---- flagged slices ---------------------------------------------------------------------------------------------


def test_next_and_previous_flagged(explored, qtbot):
    session = explored.session
    scores = session.explorer.slice_scores()
    session.change(flag_slices=float(np.sort(scores)[-4]))
    flagged = np.flatnonzero(session.explorer.flagged_slices())
    assert len(flagged) == 3
    session.go_to(len(session.explorer.grid) - 1)  # the top of the head
    canvas = canvas_of(explored)
    visited = []
    for _ in range(4):
        qtbot.keyClick(canvas, NEXT)
        visited.append(session.current())
    down = flagged[::-1]
    after = [*down[down < len(session.explorer.grid) - 1], *down]  # on from the top, and round the end
    assert visited == after[:4]
    qtbot.keyClick(canvas, PREVIOUS)
    assert session.current() == after[2]
    assert explored.profile.here == session.current()


def test_a_click_on_the_plot_goes_there_and_no_flag_is_said(explored, qtbot):
    profile = explored.profile
    plot = profile._plot()
    target = len(profile.scores) - 2  # the second from the top, and so from the left
    x = plot.left() + plot.width() * 1.5 / len(profile.scores)
    qtbot.mouseClick(profile, Qt.MouseButton.LeftButton, pos=QPoint(round(x), profile.height() // 2))
    assert explored.session.current() == target
    grid = explored.session.explorer.grid
    stack = placement.canvas_axis(grid)
    assert explored.viewer.dims.point[stack] == pytest.approx(
        placement.point_of(grid, target), abs=grid.view.spacing[0]
    )

    explored.session.change(flag_slices=1e9)
    explored.session.go_to_flagged(1)
    assert "No slice is flagged" in explored.status.text()


# ---- stopping and bad input -------------------------------------------------------------------------------------


def test_cancel_within_a_second(dock, slow, qtbot):
    dock.start()
    qtbot.waitUntil(lambda: dock.status.text().startswith("Restorations"), timeout=10_000)
    pressed = time.monotonic()
    qtbot.mouseClick(dock.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(dock.analyse.isEnabled, timeout=5000)
    assert time.monotonic() - pressed < 1.0
    ready = dock.session.explorer.ready("restoration")
    assert 0 < ready.sum() < len(ready)
    assert "Cancelled" in dock.status.text()


def test_slice_in_view_comes_first(dock, slow, qtbot):
    dock.start()
    qtbot.waitUntil(lambda: dock.session.explorer is not None, timeout=10_000)
    focus = dock.session.current()
    qtbot.waitUntil(lambda: dock.session.explorer.ready("restoration").any(), timeout=10_000)
    assert dock.session.explorer.ready("restoration")[focus]


def test_closing_in_mid_work_ends_it(dock, gate, qtbot, capsys):
    """The work never ends by itself: its second lot waits until it is stopped."""
    from qtpy.QtCore import QThreadPool

    gate.let = 1
    dock.start()
    qtbot.waitUntil(lambda: dock.status.text().startswith("Restorations"), timeout=10_000)
    explorer = dock.session.explorer
    dock.viewer.close()
    assert QThreadPool.globalInstance().waitForDone(3000)
    done = explorer.ready("restoration").sum()
    qtbot.wait(400)
    assert explorer.ready("restoration").sum() == done < len(explorer.grid)
    assert "Traceback" not in capsys.readouterr().err


def test_closing_in_mid_work_asks_in_words_and_stops_nothing_before_the_answer(dock, gate, qtbot, idle, monkeypatch):
    from napari_vqad.ui.plumbing import window_events

    asked, answers = [], [False]
    monkeypatch.setattr(window_events, "ask_to_close", lambda _window, losses: asked.append(losses) or answers.pop(0))
    gate.open = True
    dock.session.change(pooling="none", min_volume_ml=0.0, flag_voxels=0.05)
    dock.start()
    idle(dock)
    dock.findings.setChecked(True)
    review, window = dock.session.review, dock.window()
    review.set_verdict(review.found[0], "accepted")
    gate.open = False
    dock.session.change(seed=3)
    assert not window.close()
    work, verdicts = asked[0]
    assert work == "The analysis of 'head' is not finished; it would be stopped."
    assert verdicts == "1 verdict or note is not saved in a study, report or table yet."
    assert window.isVisible()
    assert dock.findings.isChecked()
    explorer = dock.session.explorer
    gate.let, before = 1, explorer.ready("restoration").sum()
    qtbot.waitUntil(lambda: explorer.ready("restoration").sum() > before, timeout=5000)
    assert dock.session.running


def test_bad_mask_is_one_sentence_and_no_layer(dock, notices, qtbot):
    ball = dock.viewer.layers["ball"]
    place = {"units": ball.units, "axis_labels": ball.axis_labels, "scale": ball.scale}
    shape = Labels(np.zeros((3, 4, 5), np.uint8), name="shape", translate=ball.translate, **place)
    empty = Labels(np.zeros_like(ball.data), name="empty", translate=ball.translate, **place)
    away = Labels(ball.data, name="away", translate=ball.translate + 30, **place)
    for bad, why in ((shape, "5×4×3 voxels"), (empty, "no voxels"), (away, "is shifted by over a voxel")):
        notices.clear()
        dock.viewer.add_layer(bad)
        dock.inputs.brain.pick(bad)
        dock.start()
        qtbot.waitUntil(lambda: bool(notices) and dock.analyse.isEnabled(), timeout=10_000)
        assert len(notices) == 1
        assert "mask" in notices[0].lower()
        assert why in notices[0]
        dock.viewer.layers.remove(bad)
        assert {layer.name for layer in dock.viewer.layers} == {"head", "ball"}
        assert dock.session.explorer is None


def test_bad_mask_leaves_what_was_there(explored, notices, qtbot):
    before = [layer.name for layer in explored.viewer.layers]
    explorer = explored.session.explorer
    explored.viewer.add_layer(Labels(np.zeros((3, 4, 5), np.uint8), name="bad", units=("mm",) * 3))
    explored.inputs.brain.pick(explored.viewer.layers["bad"])
    explored.start()
    qtbot.waitUntil(lambda: bool(notices) and explored.analyse.isEnabled(), timeout=10_000)
    assert [layer.name for layer in explored.viewer.layers] == [*before, "bad"]
    assert explored.session.explorer is explorer


def test_bundle_that_does_not_fit_is_one_sentence(dock, notices, qtbot, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    dock.inputs.bundle.box.addItem("broken", tmp_path)
    dock.inputs.bundle.pick(tmp_path)
    dock.start()
    qtbot.waitUntil(lambda: bool(notices) and dock.analyse.isEnabled(), timeout=10_000)
    assert "config.json" in notices[0]
    assert {layer.name for layer in dock.viewer.layers} == {"head", "ball"}


def test_removing_a_layer_in_mid_work_is_no_error(dock, slow, qtbot, idle):
    dock.start()
    qtbot.waitUntil(lambda: dock.status.text().startswith("Restorations"), timeout=10_000)
    dock.viewer.layers.remove(NAMES["pixel_score"])
    idle(dock, 30_000)
    dock.show_view("Score")
    dock.show_view("NLL")


def test_sliders_work_while_another_axis_waits_for_analyse(explored):
    session = explored.session
    session.change(axis="coronal")
    session.change(k=0.5)
    assert session.explorer.settings.k == 0.5
    assert session.explorer.settings.axis == "axial"
    assert session.settings.axis == "coronal"
