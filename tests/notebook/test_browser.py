"""The explorer in JupyterLab, in a real browser with WebGL in software."""

import io
import time

import numpy as np
import pytest
from matplotlib.image import imread
from small_head import make_head
from tests_notebook import START

from napari_vqad.display.readout import read_out
from napari_vqad.findings.findings import findings
from napari_vqad.io.nifti import write_map
from napari_vqad.notebook import lab
from napari_vqad.scoring import score

pytestmark = [pytest.mark.browser, pytest.mark.skipif(bool(lab.missing()), reason=lab.missing() or "nothing missing")]
CELL = """import napari_vqad
view = napari_vqad.explore("head.nii.gz", "mask.nii.gz", {model!r}, {settings!r}, device="cpu")
view"""
OTHER = "2 + 2"
REST = 1500  # ms until a change is drawn
PATIENCE = 60.0  # s, on a busy machine


@pytest.fixture(scope="module")
def notebook(tmp_path_factory, tiny_bundle):
    """A notebook on the small head, in its folder."""
    folder, (volume, mask) = tmp_path_factory.mktemp("lab"), make_head()
    write_map(folder / "head.nii.gz", volume.voxels, volume)
    write_map(folder / "mask.nii.gz", mask.astype(np.uint8), volume)
    cell = CELL.format(model=str(tiny_bundle), settings=START.model_dump(exclude_defaults=True))
    return lab.write_notebook(folder / "explore.ipynb", [cell, OTHER])


@pytest.fixture(scope="module")
def page(notebook):
    """The page after both cells have run and the head is analysed."""
    with lab.open_notebook(notebook) as opened:
        lab.run_all(opened)
        opened.wait_for_selector("text=Ready.")
        opened.wait_for_selector(".vqad canvas")
        opened.wait_for_timeout(3000)
        yield opened


@pytest.fixture(scope="module")
def scored(notebook, tiny_bundle):
    """The same head, scored without a browser."""
    folder = notebook.parent
    return score(
        folder / "head.nii.gz", mask=folder / "mask.nii.gz", bundle=tiny_bundle, device="cpu", settings=START
    ).explorer


def pixels(page):
    """The pixels of the canvas, (H, W, 3)."""
    return imread(io.BytesIO(page.locator(".vqad canvas").first.screenshot()))[..., :3]


def read(page):
    return page.locator(".vqad-readout").inner_text()


def findings_of(page):
    """The rows of the list of findings, which comes before that of slices."""
    return page.locator(".vqad-rows").first.locator("tbody tr")


def wait_until(page, condition):
    """Wait until a condition holds, with time for a slow machine."""
    until = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < until:
        page.wait_for_timeout(200)


def press(page, title, key, times):
    row = page.locator(".vqad .widget-slider", has=page.locator(f"label:text-is('{title}')"))
    row.locator(".noUi-handle").focus()
    for _ in range(times):
        page.keyboard.press(key)
    page.wait_for_timeout(REST)


@pytest.fixture(scope="module")
def place(scored):
    """The number of the last finding, and its centre in mm of the scan's diagonal frame."""
    found, volume = findings(scored), scored.scan
    index = np.linalg.inv(volume.affine) @ [*found[-1].centre, 1.0]
    return len(found) - 1, (volume.frame.to_mm @ index)[:3]


def test_a_click_on_a_finding_goes_there_and_the_read_out_is_the_engines(page, scored, place):
    before, (last, mm) = pixels(page), place
    rows = findings_of(page)
    assert rows.count() == last + 1
    rows.nth(last).click()
    wait_until(page, lambda: read(page) == read_out(scored, mm))
    assert read(page) == read_out(scored, mm)
    page.wait_for_timeout(REST)
    assert not np.array_equal(pixels(page), before), "the cross-hair has not moved"


def test_a_slider_moved_by_key_changes_canvas_and_read_out_as_the_engine_says(page, scored, place):
    findings_of(page).nth(place[0]).click()
    wait_until(page, lambda: read(page) == read_out(scored, place[1]))
    page.wait_for_timeout(REST)
    before, maps = pixels(page), scored.map("pixel_score").copy()
    press(page, "λ_s (sample)", "ArrowLeft", 3)  # flags slices, and changes no voxel of the score
    np.testing.assert_array_equal(pixels(page), before)
    press(page, "S", "ArrowLeft", 1)
    scored.change(scored.settings.model_copy(update={"n_restorations": 1}))
    assert not np.array_equal(scored.map("pixel_score"), maps)
    wait_until(page, lambda: read(page) == read_out(scored, place[1]))
    page.wait_for_timeout(REST)
    changed = np.abs(pixels(page) - before).max(-1) > 0
    assert changed.any()
    assert not changed[:10].any(), "there is no brain at the upper edge"
    assert read(page) == read_out(scored, place[1])


def test_the_second_cell_ran_during_the_analysis(page):
    assert "4" in page.locator(".jp-OutputArea-output pre").last.inner_text()


def test_the_saved_notebook_holds_a_picture(page, notebook):
    page.wait_for_timeout(3000)
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_timeout(2000)
    text = notebook.read_text(encoding="utf-8")
    assert "image/png" in text
    assert "slices are flagged" in text
