"""A small head for tests."""

import numpy as np

from napari_vqad.imaging.volume import Volume


def make_head():
    """A ball of a brain in a 30×32×28 scan of 4 mm, and its mask."""
    r, a, s = np.meshgrid(*(np.arange(n) - n / 2 for n in (30, 32, 28)), indexing="ij")
    mask = (r / 12) ** 2 + (a / 14) ** 2 + (s / 11) ** 2 < 1
    texture = np.random.default_rng(0).normal(size=mask.shape)
    voxels = np.where(mask, 600 + 80 * np.sin(r / 2) + 20 * texture, 0).astype(np.float32)
    affine = np.array([[4.0, 0, 0, -60], [0, 4, 0, -64], [0, 0, 4, -56], [0, 0, 0, 1]])
    return Volume.from_array(voxels, affine, name="head"), mask
