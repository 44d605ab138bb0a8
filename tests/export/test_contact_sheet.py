"""The contact sheet: which slices it shows, which way round, and on which scale."""

import io

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.colours import heat
from napari_vqad.display.orientation import upright
from napari_vqad.display.scales import limits
from napari_vqad.engine.explorer import Explorer
from napari_vqad.export.contact_sheet import ROWS, choose_slices, draw_sheet


@pytest.fixture
def explorer(tiny_bundle, head):
    """The small head, analysed."""
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), Settings(n_restorations=1, method="light"))
    explorer.load_scan(*head)
    for _ in explorer.work():
        pass
    return explorer


def test_shows_the_highest_score_and_no_neighbours(explorer):
    chosen = choose_slices(explorer)
    peak = np.percentile(explorer.map("pixel_score").reshape(len(explorer.grid), -1), 99.5, axis=1)
    assert int(peak.argmax()) in chosen
    assert len(chosen) <= ROWS
    assert (np.diff(chosen) < -2).all(), "top of the head first, no two neighbours"


def test_radiological_convention():
    slice_ = np.zeros((4, 6))
    slice_[-1, -1] = 1  # right, anterior
    shown = upright(slice_)
    assert shown.shape == (6, 4)
    assert shown[0, 0] == 1  # top left


def test_one_scale_for_all_scans(explorer, head):
    before = limits(explorer)
    volume, mask = head
    louder = type(volume).from_array(volume.voxels**2, volume.affine, name="louder")
    explorer.load_scan(louder, mask)
    assert limits(explorer) == before
    assert before["nll"][0] == explorer.bundle.calibration.value("nll", "p75")
    assert (before["residual"][0], before["pixel_score"][0]) == (0, 0)
    assert all(low < high for low, high in before.values())


def test_nothing_is_painted_at_zero():
    assert heat()(0.0)[3] == 0
    assert heat()(1.0)[3] == 1


def test_sheet_names_what_it_shows(explorer):
    figure = draw_sheet(explorer, "head")
    words = [t.get_text() for t in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    for word in ("head", "Scan", "NLL", "Restoration", "Residual", "Pixel score", "Flagged", "R", "L", "nats"):
        assert any(word in w for w in words), word
    assert sum("mm" in w for w in words) == len(choose_slices(explorer))
    picture = io.BytesIO()
    figure.savefig(picture, dpi=40)
    assert picture.getvalue().startswith(b"\x89PNG")


def test_a_stopped_analysis_still_has_a_sheet(tiny_bundle, head):
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), Settings(n_restorations=1))
    explorer.load_scan(*head)
    assert len(choose_slices(explorer)) == 1
    words = [t.get_text() for t in draw_sheet(explorer, "head").findobj(lambda artist: hasattr(artist, "get_text"))]
    assert any("not analysed" in w for w in words)
