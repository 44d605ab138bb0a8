"""Changing the model in the dock."""

import shutil

import numpy as np


def test_a_model_with_another_prior_brings_its_own_method(explored, tiny_masked, idle):
    """From a causal prior to a masked one and back: the method follows, and what cannot be done is not offered."""
    dock = explored
    box = dock.widgets["method"].box

    def offered():
        return {box.itemText(i) for i in range(box.count()) if box.model().item(i).isEnabled()}

    assert box.currentText() == "anchored"
    assert offered() == {"anchored", "sequential", "light", "regenerative"}
    dock.inputs.bundle.box.addItem("Tiny, masked", tiny_masked)
    dock.inputs.bundle.pick(tiny_masked)
    dock.start()
    idle(dock)
    assert box.currentText() == dock.session.settings.method == dock.session.explorer.settings.method == "masked"
    assert offered() == {"masked", "regenerative"}
    assert dock.session.explorer.map("pixel_score").max() > 0
    dock.inputs.bundle.box.setCurrentIndex(dock.inputs.bundle.box.findText("Tiny"))
    dock.start()
    idle(dock)
    assert box.currentText() == dock.session.explorer.settings.method == "anchored"


def test_a_model_of_two_levels_shows_either(explored, tiny_two, idle):
    """The NLL layer follows the level that is chosen; a model of one level offers none."""
    dock = explored
    box = dock.widgets["level"].box

    def offered():
        return {box.itemText(i) for i in range(box.count()) if box.model().item(i).isEnabled()}

    assert offered() == {"all"}
    dock.inputs.bundle.box.addItem("Tiny, two levels", tiny_two)
    dock.inputs.bundle.pick(tiny_two)
    dock.start()
    idle(dock)
    assert offered() == {"all", "top", "bottom"}
    dock.show_view("NLL")
    shown = {}
    for level in ("all", "top", "bottom"):
        box.setCurrentText(level)
        idle(dock)
        shown[level] = np.array(dock.session.map_layers.layers["nll"].data)
    assert (shown["all"] != shown["top"]).any()
    assert (shown["all"] != shown["bottom"]).any()
    assert shown["top"].max() > 0
    dock.inputs.bundle.box.setCurrentIndex(dock.inputs.bundle.box.findText("Tiny"))
    dock.start()
    idle(dock)
    assert offered() == {"all"}
    assert box.currentText() == dock.session.explorer.settings.level == "all"


def test_a_tuned_threshold_is_offered_and_taken(explored, tiny_bundle, idle, qtbot, tmp_path):
    from napari_vqad.detectors.bundle import Bundle
    from napari_vqad.detectors.tuned import FILE, TunedThresholds

    folder = tmp_path / "tuned"
    shutil.copytree(tiny_bundle, folder)
    weights = Bundle.load(folder, "cpu").weights
    found = TunedThresholds(weights=weights, on="labelled frames", slices={"lambda_s": 1.25}, variants={})
    (folder / FILE).write_text(found.model_dump_json())
    knob = explored.widgets["lambda_s"]
    assert "tuned" not in knob.note.text()
    explored.inputs.bundle.box.addItem("Tuned", folder)
    explored.inputs.bundle.pick(folder)
    explored.start()
    idle(explored)
    assert "use tuned: 1.25" in knob.note.text()
    assert knob.note.toolTip() == "Tuned on labelled frames."
    assert "tuned" not in explored.widgets["lambda_p"].note.text()
    knob.note.linkActivated.emit("tuned")
    idle(explored)
    assert explored.session.explorer.settings.lambda_s == 1.25
    assert knob.slider.value() == 1.25
    assert knob.note.text().endswith("· tuned")
