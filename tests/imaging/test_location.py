"""Right and left where the head could not be aligned: the scanner's own, or unknown."""

from dataclasses import replace

import numpy as np
import pytest

from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.imaging.layout import to_grid
from napari_vqad.imaging.location import Locator


@pytest.fixture
def off_centre(head):
    """A head whose brain lies 20 mm to the left of the grid's middle, as after an alignment that failed."""
    volume, mask = head
    grid = to_grid(volume, mask, GridSpec(shape=(40, 40), spacing=4.0))
    moved = np.roll(grid.mask, -5, axis=1)
    return volume, replace(grid, mask=moved, aligned=True, failed=True)


def side_of(locator, grid, mm):
    """The side of a small piece so many mm to the right of the brain's own middle."""
    index = np.argwhere(grid.mask)
    middle = np.rint((index.min(0) + index.max(0)) / 2).astype(int)
    piece = np.array([[0, round(mm / 4), 0], [1, round(mm / 4), 0]]) + middle
    return locator.locate(piece, piece[0]).side


def test_after_a_failed_alignment_sides_count_from_the_middle_of_the_brain(off_centre):
    volume, grid = off_centre
    locator = Locator.of(volume, grid)
    assert side_of(locator, grid, 12) == "right"
    assert side_of(locator, grid, -12) == "left"
    believed = Locator.of(volume, replace(grid, failed=False))
    assert side_of(believed, grid, 12) == "left"  # what the template's midline would say


def test_of_a_brain_that_the_picture_cuts_the_side_is_unknown_then(off_centre):
    volume, grid = off_centre
    cut = replace(grid, mask=np.roll(grid.mask, -4, axis=1) | (np.arange(40) < 3)[:, None] & grid.mask.any((0, 1)))
    assert side_of(Locator.of(volume, cut), grid, 12) == "unknown"
    assert side_of(Locator.of(volume, replace(cut, failed=False)), grid, 12) != "unknown"


def test_where_the_file_does_not_say_the_side_is_unknown(off_centre):
    volume, grid = off_centre
    assert side_of(Locator.of(replace(volume, side_known=False), grid), grid, 12) == "unknown"
