"""Changing the model in the dock."""


def test_a_model_with_another_prior_brings_its_own_method(explored, tiny_masked, idle):
    """From a causal prior to a masked one and back: the method follows, and what cannot be done is not offered."""
    dock = explored
    box = dock.knobs["method"].box

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
