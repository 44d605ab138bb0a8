"""Ishii's split, and a bundle of clips through the real commands."""

from collections import Counter

import numpy as np
import pytest
import torch
from commands import run

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.io.clips import read_clip
from napari_vqad.train.augment import augment
from napari_vqad.train.data import load_stack
from napari_vqad.train.ped2_split import PARTS, cut, runs, segments
from napari_vqad.train.recipe import FOLDER, Recipe, read_toml

RECIPE = """
title = "Small clips"
description = "A recipe for tests."
[grid]
shape = [32, 40]
spacing = 1.0
clip = [-2.5, 3.875]
grey = [100.0, 40.0]
[tokenizer]
channels = [8, 8]
blocks = [1, 1]
patch = 4
n_codes = 16
code_dim = 4
condition = 8
[tokenizer_training]
corrupt = 0.0
sway = 0.0
schedule = { steps = 30, batch = 4, lr = 3e-3, validate_every = 15 }
[prior]
channels = 16
blocks = 1
res_blocks = 1
condition = 8
[prior_training]
variants = 1
sway = 0.0
schedule = { steps = 20, batch = 4, lr = 3e-3, validate_every = 10 }
"""


def frames_of(folder, part):
    """(clip, frame) → abnormal, of a part; no frame may come twice."""
    found = {}
    for piece in segments(folder, part):
        name, _, between = piece.name.partition(", frames ")
        first, last = map(int, between.split(" to "))
        assert len(piece) == last - first + 1
        assert len(set(piece.abnormal)) == 1
        whole = read_clip(folder / f"{name}.npz")
        np.testing.assert_array_equal(piece.frames, whole.frames[first : last + 1])
        for t in range(first, last + 1):
            assert (name, t) not in found
            found[name, t] = bool(piece.abnormal[0])
    return found


def test_no_frame_is_in_two_parts_and_the_shares_hold(clip_folder):
    parts = {part: frames_of(clip_folder, part) for part in PARTS}
    everything = [frame for found in parts.values() for frame in found]
    assert len(everything) == len(set(everything)) == 4 * 20
    counts = {part: Counter(found.values()) for part, found in parts.items()}
    assert {part: (c[False], c[True]) for part, c in counts.items()} == {
        "train": (40, 0), "validation": (5, 3), "test": (5, 27),
    }  # fmt: skip


def test_runs_are_cut_in_order():
    for n in range(1, 200):
        for abnormal, shares in ((False, (0.8, 0.1, 0.1)), (True, (0, 0.1, 0.9))):
            found = cut(n, abnormal)
            ends = [found[part] for part in PARTS]
            assert [a for a, _ in ends] == [0, ends[0][1], ends[1][1]]
            assert ends[2][1] == n
            for (first, end), share in zip(ends, shares, strict=True):
                assert abs(end - first - share * n) <= 1


def test_runs_are_the_whole_clip(make_clip, tmp_path):
    clip = read_clip(make_clip(tmp_path / "a.npz", 0, range(4, 9)))
    assert runs(clip) == [(0, 4, False), (4, 9, True), (9, 20, False)]


def test_a_folder_that_does_not_fit(tmp_path, make_clip):
    with pytest.raises(InputError, match="no clips"):
        list(segments(tmp_path, "train"))
    make_clip(tmp_path / "training_01.npz")
    make_clip(tmp_path / "testing_01.npz")
    with pytest.raises(InputError, match="no labels"):
        list(segments(tmp_path, "train"))


def test_training_sees_normal_frames_as_they_are(clip_folder):
    spec = Recipe.read(_recipe(clip_folder)).grid
    train, validation, calibration = (load_stack(clip_folder, s, spec) for s in ("train", "validation", "calibration"))
    assert (len(train), len(validation)) == (40, 5)
    assert np.array_equal(validation.levels, calibration.levels)
    assert train.mask.all()
    assert not train.position.any()
    # This clip range holds each grey value exactly.
    frames = np.concatenate([p.frames for p in segments(clip_folder, "train")])
    np.testing.assert_allclose(train.slices(), (frames - 100.0) / 40.0, atol=1e-5)
    assert {grid.kind for grid in train.grids(spec)} == {"clip"}


def test_before_a_fixed_camera_nothing_is_moved():
    edge = torch.zeros(8, 1, 32, 32)
    edge[..., 10:, :] = 2.0
    seen, mask = augment(edge, torch.ones_like(edge), -2.0, torch.Generator().manual_seed(0), sway=0.0)
    assert (mask == 1).all()
    steps = (seen[..., 1:, :] - seen[..., :-1, :]).mean((1, 3))
    assert (steps.argmax(1) == 9).all()
    assert not torch.equal(seen, edge)


def test_from_clips_to_a_bundle_that_explores_one(clip_folder, make_clip, tmp_path, capsys):
    recipe, out, packed = _recipe(tmp_path), tmp_path / "small", tmp_path / "packed"
    assert run("train", "pack", "--config", recipe, "--data", clip_folder, "--out", packed) == 0
    assert run("train", "tokenizer", "--config", recipe, "--data", packed, "--out", out) == 0
    assert run("train", "prior", "--config", recipe, "--data", clip_folder, "--out", out) == 0
    assert run("calibrate", out, "--data", clip_folder) == 0
    bundle = Bundle.load(out, "cpu")
    assert (bundle.calibration.n_scans, bundle.calibration.n_slices) == (3, 5)
    card = (out / "README.md").read_text()
    assert "32×40 pixels → 4×5 codes" in card
    assert "Calibrated on these very frames (5 in 3 pieces)" in card
    assert "Mahadevan" in card
    for word in ("IXI", "heads", "scanner", " mm", "slice position"):
        assert word not in card
    explorer = Explorer(bundle, Settings(n_restorations=2))
    volume = read_clip(make_clip(tmp_path / "new.npz", 9, range(5, 8))).volume()
    grid = explorer.load_scan(volume, np.ones(volume.voxels.shape, bool))
    for _ in explorer.work():
        pass
    assert explorer.map("pixel_score").shape == (20, 32, 40)
    assert explorer.map("pixel_score").max() > 0
    assert np.isfinite(explorer.slice_scores()).all()
    assert grid.kind == "clip"
    capsys.readouterr()


def test_recipes_of_clips_fit_together():
    given = {path.stem: read_toml(path)[0] for path in FOLDER.glob("ped2-*.toml")}
    recipes = {name: Recipe.read(name) for name, g in given.items() if "detector" not in g}
    assert len({r.grid for r in recipes.values()}) == 1
    assert len({str(sorted(g["grid"].items())) for g in given.values()}) == 1  # those of other detectors, too
    ours, papers = ("vqvae", "gpt2", "gan", "gan-gpt2"), ("vp", "vt", "gp", "gt")
    for size, names, kind in (
        ("ped2-", ours, "pixelsnail"),
        ("ped2-plain-", papers, "pixelsnail-paper"),
        ("ped2-paper-", papers, "pixelsnail-paper"),
    ):
        same = [recipes[size + name] for name in names]
        assert len({r.tokenizer for r in same}) == 1
        assert [r.prior.kind for r in same] == [kind, "gpt2", kind, "gpt2"]
        assert [r.tokenizer_training.adversarial is not None for r in same] == [False, False, True, True]
    # What begins with another's network must be of its sizes.
    assert recipes["ped2-gan"].prior == recipes["ped2-vqvae"].prior
    assert recipes["ped2-gan-gpt2"].prior == recipes["ped2-gpt2"].prior
    for recipe in recipes.values():
        tokenizer, training = recipe.tokenizer, recipe.tokenizer_training
        assert (tokenizer.stride, tokenizer.n_codes, tokenizer.code_dim) == (16, 128, 256)
        assert (training.corrupt, training.sway, recipe.prior_training.sway) == (0, 0, 0)


@pytest.mark.parametrize("wrong", ["grey = [100.0, 0.0]", "grey = [100.0, 40.0]\naligned = true"])
def test_refuses_a_recipe_of_clips(tmp_path, wrong):
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.replace("grey = [100.0, 40.0]", wrong))
    with pytest.raises(InputError, match="an sd above zero, and no template"):
        Recipe.read(path)


def test_the_real_split(shared_data):
    folder = shared_data / "ucsd_ped2_128"
    found = {part: Counter(frames_of(folder, part).values()) for part in PARTS}
    normal, abnormal = (sum(c[kind] for c in found.values()) for kind in (False, True))
    assert (normal, abnormal) == (2912, 1648)
    assert found["train"] == {False: 2330}
    for part in ("validation", "test"):
        assert found[part][False] == pytest.approx(0.1 * normal, rel=0.01)
    assert found["validation"][True] == pytest.approx(0.1 * abnormal, rel=0.01)


def _recipe(folder):
    path = folder / "recipe.toml"
    path.write_text(RECIPE)
    return path
