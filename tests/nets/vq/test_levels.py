"""Two levels of codes in one grid, and apart again."""

import pytest
import torch

from napari_vqad.nets.vq.levels import CodeLevels


def test_one_level_is_the_grid_itself():
    levels, codes = CodeLevels((3, 5)), torch.randint(9, (2, 3, 5))
    assert levels.shape == (3, 5)
    assert levels.is_code.all()
    assert torch.equal(levels.join(levels.split(codes)), codes)
    assert levels.names == ()


def test_the_coarse_level_stands_above_the_fine_one():
    levels = CodeLevels((1, 3), (2, 6))
    top, bottom = torch.tensor([[[1, 2, 3]]]), torch.arange(4, 16).view(1, 2, 6)
    grid = levels.join([top, bottom])
    assert grid.tolist() == [[[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9], [10, 11, 12, 13, 14, 15]]]
    assert levels.shape == (3, 6)
    assert int(levels.is_code.sum()) == 15
    again = levels.split(grid)
    assert torch.equal(again[0], top)
    assert torch.equal(again[1], bottom)


def test_raster_order_is_coarse_to_fine():
    levels = CodeLevels((2, 2), (4, 4))
    order = levels.join([torch.zeros(1, 2, 2), torch.ones(1, 4, 4)])[0][levels.is_code]
    assert order.tolist() == [0.0] * 4 + [1.0] * 16


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bool])
def test_any_numbers(dtype):
    levels = CodeLevels((1, 1), (2, 2))
    assert levels.join([torch.ones(3, 1, 1, dtype=dtype), torch.ones(3, 2, 2, dtype=dtype)]).dtype == dtype


def test_what_lies_under_a_changed_code_refines_it():
    levels = CodeLevels((1, 2), (2, 4))
    changed = levels.join([torch.tensor([[[False, True]]]), torch.zeros(1, 2, 4, dtype=torch.bool)])
    changed[0, 1, 0] = True  # of the bottom: nothing lies under it
    assert levels.descendants(changed)[0].int().tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert not CodeLevels((2, 4)).descendants(torch.ones(1, 2, 4, dtype=torch.bool)).any()


def test_three_levels_refine_one_after_the_other():
    levels = CodeLevels((1, 1), (2, 2), (4, 4))
    changed = torch.zeros(1, *levels.shape, dtype=torch.bool)
    changed[0, 0, 0] = True
    assert int(levels.descendants(changed).sum()) == 4 + 16
