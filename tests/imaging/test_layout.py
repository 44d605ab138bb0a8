"""The grid of a scan with the grey values of an edited copy."""

from dataclasses import replace

import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid, with_voxels


@pytest.fixture(params=["centred", "aligned"], scope="module")
def gridded(request):
    """A scan, its mask, its grid and the grid's spec; aligned to the template of the default bundle, or centred."""
    if request.param == "centred":
        spec = GridSpec(shape=(32, 40), spacing=4.0)
        from small_head import make_head

        head = make_head()
        return *head, to_grid(*head, spec), spec
    from napari_vqad.detectors.bundle import Bundle
    from napari_vqad.io.load import load_scan
    from napari_vqad.resources import DEFAULT_BUNDLE
    from napari_vqad.scoring import sample_scan

    bundle, volume = Bundle.load(DEFAULT_BUNDLE, "cpu"), load_scan(sample_scan())
    inside = np.zeros(volume.voxels.shape, bool)
    inside[25:100, 25:140, 40:130] = volume.voxels[25:100, 25:140, 40:130] > np.percentile(volume.voxels, 80)
    spec = bundle.config.grid
    return volume, inside, to_grid(volume, inside, spec, "axial", bundle.template), spec


def test_the_same_scan_gives_the_same_grid(gridded):
    volume, mask, grid, spec = gridded
    again = with_voxels(grid, volume, mask, spec)
    assert np.array_equal(again.slices, grid.slices)
    assert again.placement is grid.placement


def test_only_slices_near_a_change_differ(gridded):
    volume, mask, grid, spec = gridded
    middle = np.argwhere(mask).mean(0).round().astype(int)
    box = tuple(slice(m - 2, m + 3) for m in middle)
    voxels = volume.voxels.copy()
    voxels[box] += 5 * volume.voxels[mask].std()
    other = with_voxels(grid, replace(volume, voxels=voxels), mask, spec)
    changed = np.flatnonzero((other.slices != grid.slices).any((1, 2)))
    assert 0 < len(changed) < len(grid) / 3
    assert grid.slice_of(float(volume.origin[2] + volume.spacing[2] * middle[2])) in changed
    assert np.array_equal(other.mask, grid.mask)


def test_the_grid_of_a_clip_is_refused(tiny_clip_grid):
    volume, grid, spec = tiny_clip_grid
    with pytest.raises(InputError, match="clip"):
        with_voxels(grid, volume, grid.mask, spec)


@pytest.fixture
def tiny_clip_grid():
    from napari_vqad.imaging.volume import Volume

    frames = np.random.default_rng(0).random((8, 6, 5)).astype(np.float32)
    volume = Volume(frames, np.eye(4), np.eye(4), kind="clip")
    spec = GridSpec(shape=(6, 8), spacing=1.0, grey=(0.5, 0.2))
    return volume, to_grid(volume, np.ones(frames.shape, bool), spec), spec
