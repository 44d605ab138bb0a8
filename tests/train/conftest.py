"""What several tests of training share."""

from collections.abc import Callable

import numpy as np
import pytest

from napari_vqad.imaging.grid import Grid


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
