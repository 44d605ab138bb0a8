"""Gradient restoration as a detector: its bundle, what continues, what stops, what its maps are."""

import json
import shutil
import threading
import time

import numpy as np
import pytest
import torch
from some_slices import explored

from napari_vqad.cli import main
from napari_vqad.detectors import vae_restoration
from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.gradient_steps import PIXELS, batches
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.imaging.layout import to_grid
from napari_vqad.nets.gradient_restoration import descend
from napari_vqad.train.data import SPLITS, Stack

RECIPE = 'detector = "vae-restoration"\ntitle = "Mine"\ndescription = "."\n[grid]\nshape = [32, 40]\nspacing = 4.0\n'


@pytest.fixture
def counted(monkeypatch):
    """The steps of each descent, slice by slice."""
    taken = []

    def counting(network, restored, slices, position, steps, *rest, **named):
        taken.extend([steps] * len(slices))
        return descend(network, restored, slices, position, steps, *rest, **named)

    monkeypatch.setattr(vae_restoration, "descend", counting)
    return taken


def test_more_steps_continue_the_restorations(tiny_restoration, head, counted):
    explorer = explored(tiny_restoration, head, descent_steps=4)
    n = len(counted)
    assert counted == [4] * n
    explored(tiny_restoration, head, explorer, descent_steps=10)
    assert counted[n:] == [6] * n
    explored(tiny_restoration, head, explorer, descent_steps=12, data_weight=0.2)
    assert counted[2 * n :] == [12] * n, "another weight begins again"
    whole = explored(tiny_restoration, head, descent_steps=10)
    explored(tiny_restoration, head, explorer, descent_steps=10)
    for name in ("restoration", "residual", "pixel_score"):
        np.testing.assert_allclose(explorer.map(name), whole.map(name), atol=2e-3, err_msg=name)


def test_settings_change_the_restoration_and_the_slice_in_view_is_first(tiny_restoration, head):
    explorer, found = Explorer(Bundle.load(tiny_restoration, "cpu"), Settings()), []
    explorer.load_scan(*head)
    for chosen in ({}, {"data_weight": 2.0}, {"descent_rate": 0.02}, {"data_term": "L1"}):
        explorer.change(Settings(descent_steps=3, **chosen))
        assert next(explorer.work()).slices == (explorer.focus,)
        found.append(explorer.map("residual")[explorer.focus].copy())
    assert all(np.abs(one - other).max() > 0 for one in found for other in found if one is not other)


def test_the_residual_is_the_distance_from_the_restoration(tiny_restoration, head):
    explorer = explored(tiny_restoration, head, descent_steps=3)
    grid, chosen = explorer.grid, explorer.chosen()
    expected = np.abs(grid.slices - explorer.map("restoration")) * grid.mask
    np.testing.assert_allclose(explorer.map("residual")[chosen], expected[chosen], atol=1e-6)
    y, place = torch.from_numpy(grid.slices[chosen])[:, None], torch.from_numpy(grid.position[chosen])
    s = Settings()
    x = descend(explorer.detector.network, y, y, place, 3, s.descent_rate, s.data_weight, s.data_term, lambda: None)
    np.testing.assert_allclose(explorer.map("restoration")[chosen], x[:, 0].numpy(), atol=1e-3)


def test_it_is_cancelled_within_a_second(tiny_restoration, head):
    explorer = Explorer(Bundle.load(tiny_restoration, "cpu"), Settings(descent_steps=1000))
    explorer.load_scan(*head)
    work = threading.Thread(target=explorer.finish)
    work.start()
    time.sleep(0.3)
    began = time.monotonic()
    explorer.cancel()
    work.join(5)
    assert time.monotonic() - began < 1
    assert not explorer.complete


def test_large_slices_take_a_step_one_by_one():
    assert list(batches([3, 4, 5], PIXELS // 2)) == [[3, 4], [5]]
    assert list(batches([3, 4], 4 * PIXELS)) == [[3], [4]]


@pytest.fixture
def made(tiny_vae, head, tmp_path):
    """A bundle made by the commands, of the network of the tiny VAE."""
    data, out, recipe = tmp_path / "data", tmp_path / "models" / "mine", tmp_path / "mine.toml"
    data.mkdir()
    for split in SPLITS:
        Stack.of([to_grid(*head, read_config(tiny_vae).grid)], read_config(tiny_vae).grid).save(data / f"{split}.npz")
    recipe.write_text(RECIPE)
    words = ["train", "reuse", "--config", str(recipe), "--out", str(out), "--start"]
    return words, out, ["--data", str(data), "--device", "cpu", "--threads", "1"]


def test_its_network_is_that_of_another_bundle(made, tiny_vae, monkeypatch):
    words, out, options = made
    assert main([*words, str(tiny_vae)]) == 0
    name = "network.safetensors"
    assert (out / name).read_bytes() == (tiny_vae / name).read_bytes(), "so that both share one file"
    assert read_config(out).network == read_config(tiny_vae).network
    monkeypatch.setattr(vae_restoration, "descend", lambda n, x, y, p, _steps, *r, **k: descend(n, x, y, p, 2, *r, **k))
    assert main(["calibrate", str(out), *options]) == 0
    card = (out / "README.md").read_text(encoding="utf-8")
    assert f"uses the network of {tiny_vae.name}" in card
    assert "fitted in one go" not in card
    assert f"train reuse --config mine --out models/mine --start {tiny_vae.name}" in card
    Bundle.load(out, "cpu")


@pytest.mark.parametrize(
    ("start", "old", "new", "said"),
    [
        ("tiny_pca", "", "", "is a bundle of pca"),
        ("tiny_bundle", "", "", "is a bundle of vq"),
        ("tiny_vae", "40", "48", "has another grid"),
        ("tiny_vae", "vae-restoration", "vae", "does not say detector = vae-restoration"),
        ("tiny_vae", "[grid]", "bad = 1\n[grid]", "bad"),
    ],
)
def test_what_does_not_fit_is_refused(start, old, new, said, made, request, tmp_path, capsys):
    words, out, _ = made
    (tmp_path / "mine.toml").write_text(RECIPE.replace(old, new) if old else RECIPE)
    assert main([*words, str(request.getfixturevalue(start))]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_network_of_other_sizes_is_refused(tiny_restoration, tmp_path):
    copy = shutil.copytree(tiny_restoration, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["network"]["latent"] = 5
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=r"network\.safetensors has"):
        Bundle.load(copy, "cpu")


def test_saved_and_loaded_it_is_the_same(tiny_restoration, tmp_path):
    Bundle.load(tiny_restoration, "cpu").detector.save(tmp_path)
    name = "network.safetensors"
    assert (tmp_path / name).read_bytes() == (tiny_restoration / name).read_bytes()
