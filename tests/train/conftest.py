"""What several tests of training share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import run
from small_recipe import RECIPE

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.train.data import Stack


@pytest.fixture(scope="session")
def healthy() -> Callable[..., Grid]:
    """seed, n → a 16×24 grid of n slices with a smooth 'brain' that differs from seed to seed."""

    def make(seed: int, n: int = 12) -> Grid:
        rng = np.random.default_rng(seed)
        z, y, x = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, 16), np.linspace(-1, 1, 24), indexing="ij")
        mask = z**2 / 1.1 + y**2 + x**2 < 0.8
        slices = np.where(mask, np.cos(3 * y + rng.normal()) + 0.1 * rng.normal(size=mask.shape), -2)
        position = np.linspace(-0.5, 0.5, n, dtype=np.float32)
        return Grid.of_slices(slices.astype(np.float32), mask, position, 8.0)

    return make


@pytest.fixture(scope="session")
def data(tmp_path_factory, healthy) -> Path:
    """A folder with packed slices of each split, and the small recipe."""
    folder = tmp_path_factory.mktemp("packed")
    spec = GridSpec(shape=(16, 24), spacing=8.0)
    for first, split in enumerate(("train", "validation", "calibration")):
        Stack.of([healthy(10 * first + i) for i in range(3)], spec).save(folder / f"{split}.npz")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def trained(data, tmp_path_factory) -> Path:
    """A bundle with a tokenizer that is trained on them, and no prior."""
    out = tmp_path_factory.mktemp("models") / "base"
    run("train", "tokenizer", "--config", data / "recipe.toml", "--data", data, "--out", out)
    return out
