"""A diffusion scan in the viewer: anatomy, measurements, models that know them, overlay and histogram."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_vqad.io.load import load_scan
from napari_vqad.resources import samples_folder
from napari_vqad.ui.files import readers
from napari_vqad.ui.layers import placement
from napari_vqad.ui.panels.inputs import fits_scan


def test_the_sample_opens_as_anatomy_and_measurements():
    viewer = ViewerModel()
    for data, attributes, kind in readers.diffusion_sample():
        getattr(viewer, f"add_{kind}")(data, **attributes)
    anatomy, measured, labels = viewer.layers
    volume = placement.volume_of(anatomy)
    assert volume is anatomy.metadata["napari_vqad"]
    assert anatomy.data.shape == volume.voxels.shape[::-1]
    assert measured.data.shape == (33, *anatomy.data.shape)
    assert not measured.visible
    assert not placement.may_be_scan(measured)
    np.testing.assert_array_equal(measured.data[:3].mean(0), anatomy.data)
    np.testing.assert_allclose(measured.scale[1:], anatomy.scale)
    np.testing.assert_allclose(measured.translate[1:], anatomy.translate)
    assert viewer.dims.ndim == 4
    assert viewer.dims.nsteps[0] == 33
    assert labels.data.max() == 3
    assert not labels.visible


def test_a_dropped_file_opens_the_same_way():
    path = str(samples_folder() / "diffusion.nii.gz")
    layers = readers.get_reader(path)(path)
    assert [attributes["name"] for _, attributes, _ in layers] == ["diffusion", "diffusion, measurements"]
    assert [np.ndim(data) for data, _, _ in layers] == [3, 4]


def test_without_gradients_a_sentence_is_shown(tmp_path, monkeypatch):
    import shutil

    said = []
    monkeypatch.setattr(readers, "show_error", said.append)
    path = shutil.copy(samples_folder() / "diffusion.nii.gz", tmp_path / "alone.nii.gz")
    assert readers.get_reader(str(path))(str(path)) == [(None,)]
    assert "alone.bval and alone.bvec, or alone.b, must lie beside it" in said[0]


def test_models_fit_the_measurements_that_they_know(tiny_qspace, tiny_bundle, diffusion_head):
    mine = diffusion_head.volume.measurements.gradients
    other = load_scan(samples_folder() / "diffusion.nii.gz").measurements.gradients
    assert fits_scan(tiny_qspace, "head", mine)
    assert not fits_scan(tiny_qspace, "head", other)
    assert not fits_scan(tiny_qspace, "head", None)
    assert not fits_scan(tiny_qspace, "clip", mine)
    assert fits_scan(tiny_bundle, "head", mine)  # it sees the anatomy


@pytest.fixture
def diffusion_dock(explored, diffusion_head, tiny_qspace, idle):
    """The shared window's dock with the small diffusion head analysed by the q-space detector."""
    dock = explored
    dock.inputs.bundle.box.addItem("Tiny, q-space", tiny_qspace)
    viewer = dock.session.viewer
    for data, attributes, _ in readers.scan_layers(diffusion_head.volume, "diffusion"):
        viewer.add_image(data, **attributes)
    place = placement.placed_as(diffusion_head.volume)
    brain = viewer.add_labels(placement.to_canvas(diffusion_head.brain).astype(np.uint8), name="brain", **place)
    dock.inputs.scan.pick(viewer.layers["diffusion"])
    dock.inputs.brain.pick(brain)
    assert dock.inputs.bundle.value == tiny_qspace  # preferred to models of the anatomy
    dock.start()
    idle(dock, 60_000)
    return dock


def test_overlay_score_and_histogram(diffusion_dock, idle):
    dock = diffusion_dock
    explorer = dock.session.explorer
    views = [b.text() for b in dock.views.buttons() if not b.isHidden()]
    assert views == ["Scan", "Novelty", "Score", "Flagged"]
    assert dock.session.viewer.dims.ndim == 4
    assert "axes" not in dock.inputs.questions.why.text()  # of the layer with the measurements, which is no scan
    dock.show_view("Novelty")
    layer = dock.session.map_layers.layers["novelty"]
    assert layer.visible
    before = np.array(layer.data)
    assert before.max() > 0
    dock.histogram.expand(animate=False)
    shown = dock.histogram.plot.shown
    assert shown is not None
    dock.widgets["novelty"].box.setCurrentText("elbo_sampled")
    idle(dock)
    assert explorer.settings.novelty == "elbo_sampled"
    assert not np.allclose(dock.session.map_layers.layers["novelty"].data, before)
    dock.histogram.refresh()
    assert not np.allclose(dock.histogram.plot.shown.scan, shown.scan)
    dock.histogram.collapse(animate=False)
