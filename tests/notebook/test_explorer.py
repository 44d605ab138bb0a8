"""The explorer in a notebook, without a browser."""

import base64
import sys
from importlib import util
from pathlib import Path

import numpy as np
import pytest
from small_head import make_head
from tests_notebook import START, control, numbers

import napari_vqad
from napari_vqad.detectors.library import list_bundles
from napari_vqad.display.model_groups import fits_scan
from napari_vqad.display.profile import count_in_words
from napari_vqad.display.readout import read_out
from napari_vqad.display.scales import limits
from napari_vqad.errors import InputError
from napari_vqad.imaging.resample import resample_diagonal
from napari_vqad.io.load import load_scan
from napari_vqad.notebook.volumes import HEAT, heat_steps
from napari_vqad.resources import samples_folder


def on_scan(explorer, name):
    """A map in steps of its colours, on the voxels of the scan."""
    grid = explorer.grid
    steps = heat_steps(grid.to_display(explorer.map(name)), limits(explorer)[name])
    found = resample_diagonal(steps.astype(np.float32), grid.view, explorer.scan.frame, order=1, cval=0.0)
    return np.floor(found + np.float32(0.5))


def test_the_result_is_that_of_score(view, tiny_bundle):
    volume, mask = make_head()
    scored = napari_vqad.score(volume, mask=mask, bundle=tiny_bundle, device="cpu", settings=START)
    assert numbers(view.result()) == numbers(scored)
    np.testing.assert_array_equal(view.result().map("pixel_score"), scored.map("pixel_score"))
    assert [f.peak for f in view.findings()] == [f.peak for f in scored.findings()]


def test_the_canvas_shows_the_map_in_steps_of_its_colours(view):
    explorer, shown = view.result().explorer, view._canvas.map
    np.testing.assert_array_equal(shown, on_scan(explorer, "pixel_score"))
    assert shown.dtype == np.uint8
    assert 0 < shown.max() <= HEAT[1]


def test_settings_of_a_cell_move_the_sliders(view):
    view.settings = {"lambda_s": 3.0, "k": 1.5}
    assert control(view, "lambda_s").value == 3.0
    assert control(view, "k").value == 1.5
    assert view.result().explorer.settings.lambda_s == 3.0
    assert count_in_words(view.result().explorer) in view._panel.count.value


def test_a_slider_changes_the_settings_and_the_picture(view):
    before = view._canvas.map
    control(view, "n_restorations").value = 1
    assert view.settings.n_restorations == 1
    assert not np.array_equal(view._canvas.map, before)


def test_a_finding_is_gone_to(view):
    explorer, found = view.result().explorer, view.findings()[-1]
    view._lists.findings._handle_custom_msg({"row": len(view._lists.findings.rows) - 1}, [])
    assert found.slices[0] <= explorer.focus <= found.slices[1]
    mm = view._session.frame_mm(view._session.index_of_mm(found.centre))
    assert read_out(explorer, mm) in view._panel.readout.value
    assert len(view._lists.findings.rows) - 1 in view._lists.findings.here


def test_a_bar_of_the_profile_goes_to_its_slice(view):
    view._panel.profile._handle_custom_msg({"bar": 0}, [])
    assert view.result().explorer.focus == view._panel.profile._order[0]
    assert view._panel.profile.here == 0


def test_a_click_in_the_picture_moves_the_slice_and_the_read_out(view):
    session, explorer = view._session, view.result().explorer
    index = session.index_of_slice(3, (np.array(view.volume.voxels.shape) - 1) / 2)
    frac = ((index + 0.5) / np.array(view.volume.voxels.shape)).tolist()
    view._canvas.widget._handle_custom_msg({"event": "location_change", "data": {"frac": frac}}, [])
    assert explorer.focus == 3
    assert read_out(explorer, session.frame_mm(index)) in view._panel.readout.value


@pytest.mark.parametrize("name", ["Scan", "NLL", "Restoration", "Residual", "Score", "Flagged"])
def test_every_view_is_shown(view, name):
    view.view = name
    assert view._session.view == name
    if name == "NLL":  # the random prior finds nothing unlikely
        np.testing.assert_array_equal(view._canvas.map, on_scan(view.result().explorer, "nll"))
    else:
        assert (view._canvas.map.max() > 0) == (name != "Scan")
    assert bool(view._panel.legend.value) == (name in ("NLL", "Residual", "Score"))


def test_each_restoration_can_be_shown(view):
    view.view = "Restoration"
    pictures = []
    for _, which in view._panel.which.options:
        view._panel.which.value = which
        pictures.append(view._canvas.map.tobytes())
    assert len(set(pictures)) == 4  # mean, SD, two restorations


def test_two_explorers_do_not_mix(explore):
    one, other = explore(), explore(START.model_copy(update={"k": 9.0}))
    one.result(), other.result()
    before = other._canvas.map
    one.settings = {"k": 0.0}
    assert (one.settings.k, other.settings.k) == (0.0, 9.0)
    np.testing.assert_array_equal(other._canvas.map, before)
    one.close()
    assert other.result().explorer.complete


def test_another_model_keeps_the_slice_and_the_mask(explore, tiny_masked, monkeypatch):
    view = explore()
    view.result()
    view.go_to_slice(4)
    mask = view.result().mask
    monkeypatch.setattr("napari_vqad.scoring.make_mask", lambda _v: pytest.fail("the mask was made again"))
    view._session.analyse(lambda: napari_vqad.Bundle.load(tiny_masked, "cpu"))
    result = view.result()
    assert result.explorer.bundle.folder == tiny_masked
    assert result.explorer.focus == 4
    assert result.mask is mask


def test_work_can_be_cancelled_and_goes_on(explore):
    view = explore(START.model_copy(update={"method": "sequential"}))
    view.cancel()
    assert view._session.runner._threads == set()
    if view._session.result is not None:
        assert view.result().explorer.complete


def test_an_interrupt_stops_the_work(explore, monkeypatch):
    view = explore()

    class Interrupted:
        def wait(self, _seconds):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(view._session.runner, "idle", Interrupted())
        patch.setattr(Interrupted, "clear", lambda self: None, raising=False)
        patch.setattr(Interrupted, "set", lambda self: None, raising=False)
        with pytest.raises(KeyboardInterrupt):
            view.result()
    assert not view._session.running


def test_a_closed_explorer_says_so(explore):
    view = explore()
    view.close()
    with pytest.raises(InputError, match="closed"):
        view.result()
    assert view._session.runner._threads == set()


def test_a_cell_that_runs_again_closes_its_explorer(explore, monkeypatch):
    runs = iter([("cell", 1), ("cell", 1), ("cell", 2), ("other", 3)])
    monkeypatch.setattr("napari_vqad.notebook.explore._cell", lambda: next(runs))
    first, second, again, elsewhere = (explore() for _ in range(4))
    assert [e._closed for e in (first, second, again, elsewhere)] == [True, True, False, False]


def test_a_saved_notebook_has_a_picture_and_the_numbers(view):
    view._still.draw()
    bundle = view._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert view.result().summary() in bundle["text/plain"]
    assert bundle["image/png"] in bundle["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_marimo_shows_the_picture_of_the_complete_analysis(view):
    kind, text = view._mime_()
    assert kind == "text/html"
    assert '<img alt="' in text
    assert "slices are flagged" in text


def test_models_are_listed_that_fit_the_scan(view):
    panel, own = view._panel, view.result().explorer.bundle.folder

    def listed(volume):
        panel.offer_models(volume, own)
        return {Path(folder).name for _, folder in panel.model.options}

    diffusion = load_scan(samples_folder() / "diffusion.nii.gz")
    of_head, of_diffusion = listed(view.volume), listed(diffusion)
    panel.offer_models(view.volume, own)
    gradients = diffusion.measurements.gradients
    assert of_diffusion == {own.name} | {f.name for f in list_bundles() if fits_scan(f, "head", gradients)}
    assert "qspace-phantom" in of_diffusion
    assert of_head == {own.name} | {f.name for f in list_bundles() if fits_scan(f, "head", None)}
    assert "qspace-phantom" not in of_head


def test_without_webgl_there_is_a_picture_and_a_slider(view):
    view._panel.browser.webgl = "no"
    before = bytes(view._panel.still.value)
    assert before.startswith(b"\x89PNG")
    view._panel.slice.value = 2
    assert view.result().explorer.focus == 2
    assert bytes(view._panel.still.value) != before
    assert "WebGL" in view._panel.canvases.children[0].children[0].value


def test_side_by_side_shows_the_scan_alone_beside_the_map(view):
    view._panel.browser.webgl = "yes"
    view._panel.beside.value = True
    left, right = view._panel.canvases.children
    assert right is view._canvas.widget
    assert left is view._beside.widget
    view.go_to_slice(2)
    np.testing.assert_array_equal(view._beside.at, view._canvas.at)


def test_bad_input_is_one_sentence(explore, tmp_path):
    with pytest.raises(InputError) as refused:
        napari_vqad.explore(tmp_path / "none.nii.gz")
    assert refused.value._render_traceback_() == [str(refused.value)]
    with pytest.raises(InputError) as refused:
        napari_vqad.explore(tmp_path / "none.nii.gz", debug=True)
    assert not hasattr(refused.value, "_render_traceback_")
    with pytest.raises(InputError, match="does not fit"):
        explore({"lambda_s": "many"})


def test_bad_settings_of_a_cell_change_nothing(view):
    before = view.settings
    with pytest.raises(InputError, match="does not fit"):
        view.settings = {"k": 1.0, "lambda_s": "many"}
    assert view.settings == before


def test_a_missing_extra_says_how_to_install_it(monkeypatch, head):
    found = util.find_spec
    monkeypatch.setattr(
        "napari_vqad.notebook.entry.find_spec", lambda name: None if name == "ipyniivue" else found(name)
    )
    with pytest.raises(InputError, match=r"pip install 'napari-vqad\[notebook\]'"):
        napari_vqad.explore(head[0])
    assert "napari_vqad.notebook.entry" in sys.modules
