"""What training a prior counts: nats of codes, and of nothing else."""

import numpy as np
import pytest
import torch

from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.nets.vq.pixelsnail import PixelSnailConfig
from napari_vqad.train.data import Stack
from napari_vqad.train.fit import Schedule, state_of
from napari_vqad.train.prior import PriorTraining, train_prior


def test_held_out_nats_are_of_codes_alone(tmp_path):
    """A prior that finds every real code as likely as any other has ln K nats a code, whatever the empty places."""
    levels = CodeLevels((1, 2), (2, 4))

    class Even(torch.nn.Module):
        n_codes = K = 16

        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(1))

        def logits(self, codes, position):
            even = torch.zeros(len(codes), self.K, *levels.shape) + 0 * self.bias
            return torch.where(levels.is_code, even, -1e4 * (torch.arange(self.K) > 0)[:, None, None])

        forward = logits

    class Tokenizer:
        n_codes = 16

        def encode(self, slices, position):
            return torch.randint(16, (len(slices), *levels.shape)) * levels.is_code

    spec = GridSpec(shape=(16, 24), spacing=8.0)
    mask = np.ones((5, 16, 24), bool)
    grid = Grid.of_slices(np.zeros((5, 16, 24), np.float32), mask, np.linspace(-0.5, 0.5, 5, dtype=np.float32), 8.0)
    stack = Stack.of([grid], spec)
    training = PriorTraining(schedule=Schedule(steps=1, batch=2, validate_every=1), variants=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_vqad.train.prior.make_prior", lambda *_: Even())
        train_prior(
            PixelSnailConfig(), training, Tokenizer(), stack, stack, -2.0, tmp_path, torch.device("cpu"), levels
        )
    history = state_of(tmp_path)["history"]
    assert history["held_out"][0] == pytest.approx(np.log(16), rel=1e-4)
    assert history["loss"][0] == pytest.approx(np.log(16), rel=1e-4)
