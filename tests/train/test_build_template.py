"""A template made of moved heads is their mean, symmetric, and fills the grid."""

import numpy as np

from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.registration import align
from napari_vqad.imaging.volume import Volume
from napari_vqad.train.build_template import MARGIN, make_template


def head(turn, scale, seed):
    """An egg with a bright core, a dark slit and a bias field, 4 mm."""
    shape = (50, 58, 48)
    r, a, s = np.meshgrid(*(4.0 * (np.arange(n) - n / 2) for n in shape), indexing="ij")
    a, s = np.cos(turn) * a - np.sin(turn) * s, np.sin(turn) * a + np.cos(turn) * s
    r, a, s = r / scale, a / scale, s / scale
    radius = np.sqrt((r / 65) ** 2 + (a / 82) ** 2 + (s / 62) ** 2)
    mask = radius < 1
    tissue = np.where(radius < 0.7, 0.9, 0.6)
    tissue[(np.abs(r) < 8) & (np.abs(a) < 40) & (np.abs(s) < 14)] = 0.2
    tissue[(a - 45) ** 2 + r**2 + (s - 15) ** 2 < 15**2] = 0.35
    rng = np.random.default_rng(seed)
    voxels = 500 * tissue * (1 + 0.001 * a) + rng.normal(0, 10, shape)
    return Volume.from_array(np.where(mask, voxels, 0), np.diag([4.0, 4, 4, 1]), name="egg"), mask


def test_make_a_template_and_lay_a_new_head_on_it():
    spec = GridSpec(shape=(36, 44), spacing=4.0, aligned=True)
    scans = [head(t, s, i) for i, (t, s) in enumerate([(-0.1, 0.95), (0.0, 1.0), (0.12, 1.05), (0.05, 0.98)])]
    template = make_template(scans, spec, 34, lambda _: None)
    np.testing.assert_array_equal(template.voxels, template.voxels[::-1])
    inside = np.argwhere(template.mask > 0.5)
    room = np.array(template.mask.shape) - 1 - 2 * MARGIN
    extent = np.ptp(inside, axis=0)
    assert np.all(extent <= room + 2)
    assert np.any(extent >= room - 2)
    volume, mask = head(0.15, 1.1, 9)
    assert align(volume, mask, template).overlap > 0.93
    grid = to_grid(volume, mask, spec, template=template)
    assert grid.aligned
    assert abs(grid.slices[grid.mask].mean()) < 0.25
    assert abs(grid.slices[grid.mask].std() - 1) < 0.25
