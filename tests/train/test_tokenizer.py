"""Training a tokenizer: which slices a batch is drawn from, what its loss measures."""

import numpy as np
import pytest
import torch

from napari_vqad.train.data import Stack
from napari_vqad.train.tokenizer import draw, reconstruction_error


@pytest.fixture
def stack():
    """Four volumes of 3, 9, 40 and 1 slices."""
    scan = np.repeat(np.arange(4), [3, 9, 40, 1])
    n = len(scan)
    levels = np.random.default_rng(0).integers(0, 256, (n, 4, 6), dtype=np.uint8)
    return Stack(levels, np.ones((n, 4, 6), bool), np.zeros(n, np.float32), scan, (-3.0, 4.0))


def test_a_batch_has_as_many_slices_of_each_volume(stack):
    for seed in range(5):
        chosen = draw(stack, 8, 2, torch.Generator().manual_seed(seed))
        volumes, counts = np.unique(stack.scan[chosen], return_counts=True)
        assert len(volumes) == 2
        assert counts.tolist() == [4, 4]
    seen = {int(v) for seed in range(40) for v in stack.scan[draw(stack, 8, 2, torch.Generator().manual_seed(seed))]}
    assert seen == {0, 1, 2, 3}


def test_a_batch_of_more_volumes_than_there_are_takes_all(stack):
    chosen = draw(stack, 8, 64, torch.Generator().manual_seed(0))
    assert np.unique(stack.scan[chosen], return_counts=True)[1].tolist() == [2, 2, 2, 2]


def test_without_volumes_each_slice_is_as_likely(stack):
    chosen = draw(stack, 5000, 0, torch.Generator().manual_seed(0))
    assert np.bincount(chosen, minlength=len(stack)).min() > 40


class Halves:
    """A tokenizer whose decoded slice is half of the slice."""

    def encode(self, slices, position):
        return slices

    def decode(self, codes, position):
        return codes / 2


def test_the_held_out_error_is_absolute_or_squared(stack):
    half = np.abs(stack.slices()) / 2
    cpu = torch.device("cpu")
    assert reconstruction_error(Halves(), stack, cpu) == pytest.approx(float(half.mean()), rel=1e-4)
    assert reconstruction_error(Halves(), stack, cpu, "L2") == pytest.approx(float((half**2).mean()), rel=1e-4)
