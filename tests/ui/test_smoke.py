"""The viewer from a file to a picture, for another binding of Qt than that of all other tests: `.ci/run` has it."""

import numpy as np
import pytest
import qtpy

from napari_vqad.resources import samples_folder
from napari_vqad.ui.dock import ExplorerDock
from napari_vqad.ui.panels.setting_widgets import SettingSlider


@pytest.mark.skipif(qtpy.API_NAME == "PySide6", reason="all other tests run under PySide6; QT_API names another")
def test_open_analyse_move_every_slider_and_look(make_napari_viewer, tiny_bundle, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.open(samples_folder() / "lesions_t1.nii.gz", plugin="napari-vqad")
    dock = ExplorerDock(viewer)
    viewer.window.add_dock_widget(dock, name="VQ Anomaly Explorer", area="right")
    dock.inputs.bundle.box.addItem("Tiny", tiny_bundle)
    dock.inputs.bundle.pick(tiny_bundle)
    dock.start()

    def done() -> bool:
        explorer = dock.session.explorer
        return explorer is not None and explorer.complete and dock.analyse.isEnabled()

    def wait() -> None:
        qtbot.waitUntil(done, timeout=60_000)

    wait()
    for section in dock.sections.all:
        section.expand(animate=False)
    moved = {}
    dock.sections.edited.connect(moved.__setitem__)
    sliders = {name: knob for name, knob in dock.widgets.items() if isinstance(knob, SettingSlider)}
    assert {"lambda_s", "lambda_p", "n_restorations", "k", "flag_voxels", "flag_slices"} <= set(sliders)
    for name, knob in sliders.items():
        low, high, now = knob.slider.minimum(), knob.slider.maximum(), knob.slider.value()
        knob.slide(low + 0.4 * (high - low) if now != low + 0.4 * (high - low) else high)
        qtbot.waitUntil(lambda name=name: name in moved)
    wait()
    for button in (dock.findings, dock.display.other, dock.display.box):
        button.click()
    dock.lists.step(1)
    for view in ("NLL", "Restoration", "Residual", "Score", "Flagged"):
        dock.show_view(view)
    for ndisplay in (3, 2):
        viewer.dims.ndisplay = ndisplay
        picture = viewer.screenshot(canvas_only=True, flash=False)
        assert np.ptp(picture[..., :3]) > 100
    dock.session.close()
