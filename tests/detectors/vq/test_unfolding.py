"""A restoration code by code: from the slice's codes to the restored ones, in raster order."""

import numpy as np
import pytest
import torch

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.protocol import Step
from napari_vqad.detectors.settings import Settings
from napari_vqad.display.slice_picture import PictureStyle
from napari_vqad.display.unfolding_pictures import code_colours, pictures_of
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.unfolding import unfolding
from napari_vqad.io.nifti import write_map


def analysed(bundle, head, **settings):
    explorer = Explorer(Bundle.load(bundle, "cpu"), Settings(**{"n_restorations": 2, "lambda_p": "p40"} | settings))
    explorer.load_scan(*head)
    explorer.finish()
    return explorer


@pytest.mark.parametrize("method", ["sequential", "anchored", "light"])
def test_from_the_codes_of_the_slice_to_the_restored_ones(tiny_bundle, head, method):
    explorer = analysed(tiny_bundle, head, method=method)
    i, j = explorer.focus, 1
    found = unfolding(explorer, i, j)
    x, y = explorer.results("nll", "codes")[i], explorer.results("restoration", "codes", j)[i]
    start, end = found.at(0), found.at(found.steps)
    np.testing.assert_array_equal(start.codes, x)
    np.testing.assert_array_equal(end.codes, y)
    assert not start.changed.any()
    assert end.changed.sum() == found.steps > 0
    np.testing.assert_allclose(start.evidence * explorer.grid.mask[i], explorer.map("nll")[i], atol=1e-4)
    np.testing.assert_allclose(end.picture, explorer.map("restoration_j", j)[i], atol=2e-3)


@pytest.mark.parametrize("method", ["sequential", "anchored"])
def test_each_step_draws_the_next_code_in_raster_order(tiny_bundle, head, method):
    explorer = analysed(tiny_bundle, head, method=method)
    found = unfolding(explorer, explorer.focus)
    assert [tuple(p) for p in found.places] == sorted(tuple(p) for p in found.places)
    before = found.at(0)
    for n in range(1, found.steps + 1):
        now = found.at(n)
        newly = now.changed & ~before.changed
        assert newly.sum() == 1
        assert newly[tuple(found.places[n - 1])]
        assert (now.codes != before.codes).sum() <= 1
        before = now


def test_sequential_judges_each_code_given_those_restored_before(tiny_bundle, head):
    """As the loop does: the code at a place is drawn where its ℓ, given the restored codes before, is above λ_p."""
    explorer = analysed(tiny_bundle, head, method="sequential")
    found, detector = unfolding(explorer, explorer.focus), explorer.detector
    limit = explorer.thresholds()["lambda_p"]
    drawn = {tuple(p) for p in found.places}
    x = explorer.results("nll", "codes")[explorer.focus]
    position = explorer.grid.position[[explorer.focus]]
    n = 0
    for place in np.ndindex(x.shape):
        now = found.at(n).codes  # everything before this place is restored, the rest is as it was
        assert (detector.nll(now[None], position)[0][place] > limit) == (place in drawn)
        n += place in drawn


def test_without_codes_there_are_no_steps(tiny_bundle, tiny_pca, head):
    assert unfolding(analysed(tiny_bundle, head, method="regenerative"), 10).steps == 0
    explorer = Explorer(Bundle.load(tiny_pca, "cpu"), Settings())
    explorer.load_scan(*head)
    assert unfolding(explorer, explorer.focus) is None
    explorer.finish()
    assert unfolding(explorer, explorer.focus) is None


def test_until_it_is_there_it_is_none(tiny_bundle, head):
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), Settings(n_restorations=1))
    explorer.load_scan(*head)
    assert unfolding(explorer, explorer.focus) is None


def test_two_levels_and_masked_priors(tiny_two, tiny_masked, head):
    for bundle, method in ((tiny_two, "anchored"), (tiny_masked, "masked")):
        explorer = analysed(bundle, head, method=method)
        found = unfolding(explorer, explorer.focus)
        np.testing.assert_array_equal(
            found.at(found.steps).codes, explorer.results("restoration", "codes")[explorer.focus]
        )
        assert found.steps > 0


def test_pictures_of_a_step(tiny_bundle, head):
    explorer = analysed(tiny_bundle, head, method="anchored", lambda_p=2.0)
    i, found = explorer.focus, unfolding(explorer, explorer.focus)
    step = found.at(found.steps)
    pictures, side = pictures_of(explorer, i, step, PictureStyle())
    assert side == "R"
    assert len({p.rgb.shape for p in pictures}) == 1
    assert all(p.rgb.min() >= 0 and p.rgb.max() <= 1 for p in pictures)


def test_codes_that_were_drawn_stand_out():
    codes = np.arange(20).reshape(4, 5)
    changed = codes % 3 == 0
    colours = code_colours(Step(codes, changed, np.zeros((8, 15)), np.zeros((8, 15))), (8, 15))
    assert colours.shape == (8, 15, 3)
    np.testing.assert_array_equal(colours[::2, ::3], colours[1::2, 2::3])  # a square each
    spread = np.ptp(colours[::2, ::3], axis=-1)
    assert spread[changed].min() > spread[~changed].max()


def test_a_frame_stands_upright(tiny_clips, clip_folder):
    from napari_vqad.display.slice_picture import SlicePicture
    from napari_vqad.io.clips import read_clip

    clip = read_clip(clip_folder / "testing_01.npz")
    volume = clip.volume()
    explorer = Explorer(Bundle.load(tiny_clips, "cpu"), Settings(method="regenerative"))
    explorer.load_scan(volume, np.ones(volume.voxels.shape, bool))
    frame = SlicePicture(explorer.grid, 15, PictureStyle((-3.0, 4.0)))
    shown = frame.grey(explorer.grid.slices[15])[..., 0]
    assert np.corrcoef(shown.ravel(), clip.frames[15].ravel())[0, 1] > 0.99


def test_the_command_draws_a_head_and_a_frame(tiny_bundle, tiny_clips, clip_folder, head, tmp_path, capsys):
    write_map(tmp_path / "head.nii.gz", head[0].voxels, head[0])
    write_map(tmp_path / "mask.nii.gz", head[1].astype(np.uint8), head[0])
    common = ["--device", "cpu", "--threads", 1, "--lambda-p", "p20"]
    words = ["evaluate", "steps", tmp_path / "head.nii.gz", "--mask", tmp_path / "mask.nii.gz", "--slice", 14]
    assert main([str(w) for w in [*words, "--bundle", tiny_bundle, "-o", tmp_path / "head.png", *common]]) == 0
    words = ["evaluate", "steps", clip_folder / "testing_01.npz", "--slice", 12, "--bundle", tiny_clips]
    assert main([str(w) for w in [*words, "-o", tmp_path / "frame.png", "--after", 0, 5, 99, *common]]) == 0
    for name in ("head.png", "frame.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    words = ["evaluate", "steps", clip_folder / "testing_01.npz", "--slice", 500, "--bundle", tiny_clips]
    assert main([str(w) for w in [*words, "-o", tmp_path / "none.png", *common]]) == 2
    assert "500" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["sequential", "anchored", "light"])
def test_every_fine_code_below_a_changed_coarse_one_is_a_step(tiny_two, head, method):
    """Also where the draw gave the same code again, which is one time in 16 here."""
    explorer = analysed(tiny_two, head, method=method)
    again = 0
    for i in np.flatnonzero(explorer.grid.mask.any((1, 2))):
        x, y = explorer.results("nll", "codes")[i], explorer.results("restoration", "codes")[i]
        below = explorer.detector.levels.descendants(torch.from_numpy(x != y)[None])[0].numpy()
        found = unfolding(explorer, int(i))
        drawn = np.zeros(x.shape, bool)
        drawn[tuple(found.places.T)] = True
        assert drawn[below].all()
        assert found.at(found.steps).changed.sum() == found.steps
        again += int((below & (x == y)).sum())
    assert again > 0
