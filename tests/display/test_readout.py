"""The words for a point say what the maps hold there."""

import re

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.readout import place, read_out
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.location import Locator, in_words
from napari_vqad.imaging.volume import Volume


@pytest.fixture(scope="module", params=["sagittal", "coronal", "axial"])
def explored(request, tiny_bundle):
    """A small oblique head, analysed along each axis."""
    r, a, s = np.meshgrid(*(np.arange(n) - n / 2 for n in (26, 30, 28)), indexing="ij")
    mask = (r / 10) ** 2 + (a / 12) ** 2 + (s / 11) ** 2 < 1
    texture = np.random.default_rng(0).normal(size=mask.shape)
    affine = np.diag([4.0, 4, 4, 1])
    affine[:3, :3] = [[3.9, 0.8, 0], [-0.8, 3.9, 0], [0, 0, 4]]
    affine[:3, 3] = (-40, -70, -20)
    volume = Volume.from_array(np.where(mask, 600 + 80 * np.sin(r) + 20 * texture, 0), affine)
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), Settings(n_restorations=2, axis=request.param))
    explorer.load_scan(volume, mask)
    return explorer


def point_of(explorer, index):
    """Of the diagonal frame, of a voxel of the grid."""
    return (explorer.grid.placement @ [*explorer.grid.axes_index(np.array(index)), 1])[:3]


def test_it_says_what_the_maps_hold(explored):
    list(explored.work())
    rng = np.random.default_rng(1)
    for index in rng.permutation(np.argwhere(explored.grid.mask))[:20]:
        at = tuple(int(i) for i in index)
        words = read_out(explored, point_of(explored, at) + rng.uniform(-1.9, 1.9, 3))
        nll, score = float(explored.map("nll")[at]), float(explored.map("pixel_score")[at])
        share = explored.bundle.calibration.percentile("nll", nll)
        assert words.startswith(f"NLL {nll:.1f} nats, {share:.1f}th healthy percentile; score {score:.2f}; ")
        assert words.endswith(" mm")


def test_outside_the_brain_and_the_grid_only_the_place(explored):
    volume = explored.scan
    for mm in (point_of(explored, (0, 0, 0)), volume.origin - 500):
        assert re.fullmatch(r"[RL] \d+ [AP] \d+ [SI] \d+ mm", words := read_out(explored, mm))
        assert words.partition(" ")[2].partition(" ")[2] == place(volume, mm).partition(" ")[2].partition(" ")[2]


def test_right_and_left_count_from_the_midline_as_in_the_findings(explored):
    volume, grid = explored.scan, explored.grid
    index = np.argwhere(grid.mask)[70]
    located = Locator.of(volume, grid).locate(index[None], index)
    assert read_out(explored, point_of(explored, index)).endswith(in_words(located.head))
    assert located.head[0] != pytest.approx(located.centre[0], abs=2)


def test_the_place_is_the_scanners(explored):
    volume = explored.scan
    r, a, s = (volume.affine @ [20, 4, 10, 1])[:3]
    mm = (volume.frame.to_mm @ [20, 4, 10, 1])[:3]
    assert place(volume, mm) == in_words((float(r), float(a), float(s)))


def test_what_is_not_there_yet_is_left_out(explored):
    explored.load_scan(explored.scan, explored.scan.voxels > 0)
    at = tuple(np.argwhere(explored.grid.mask)[50])
    assert re.fullmatch(r"[RL] \d+ [AP] \d+ [SI] \d+ mm", read_out(explored, point_of(explored, at)))
    list(explored.work(("nll",)))
    words = read_out(explored, point_of(explored, at))
    assert "NLL" in words
    assert "score" not in words
