"""How close and how sharp reconstructions are, and the command that says so."""

import shutil

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy import ndimage

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.evaluate.metrics import gradient_energy
from napari_vqad.evaluate.reconstruction import reconstructed
from napari_vqad.imaging.layout import to_grid
from napari_vqad.train.data import Stack

CPU = torch.device("cpu")


def test_gradient_energy_of_a_ramp():
    ramp = np.arange(6.0)[None, :, None] * 2 + np.arange(5.0) * 3 + np.zeros((1, 6, 5))
    assert gradient_energy(ramp, np.ones(ramp.shape)) == pytest.approx(4 + 9)


def test_the_rim_of_the_mask_is_no_gradient():
    mask = np.zeros((1, 6, 6), bool)
    mask[:, 1:4, 1:4] = True
    assert gradient_energy(np.where(mask, 1.0, -2.0), mask) == 0


class Smooth:
    """A tokenizer that blurs: its codes are the slices themselves."""

    def encode(self, slices, position):
        return slices

    def decode(self, codes, position):
        return torch.from_numpy(ndimage.uniform_filter(codes.numpy(), (1, 1, 3, 3)))


class Copy(Smooth):
    """A tokenizer without loss."""

    def decode(self, codes, position):
        return codes


def test_softer_is_less_sharp(head, tiny_bundle):
    spec = Bundle.load(tiny_bundle, "cpu").config.grid
    stack = Stack.of([to_grid(*head, spec)], spec).of_brain()
    exact, soft = (reconstructed("", tokenizer, stack, CPU) for tokenizer in (Copy(), Smooth()))
    assert (exact.l1, exact.sharpness) == (0, 1)
    assert soft.sharpness < 0.9
    assert soft.l1 > 0


def test_the_command_lists_tokenizers_and_draws_them(tiny_bundle, tiny_two, head, tmp_path, capsys):
    spec, packed, picture = Bundle.load(tiny_bundle, "cpu").config.grid, tmp_path / "packed", tmp_path / "p.png"
    packed.mkdir()
    Stack.of([to_grid(*head, spec)], spec).save(packed / "validation.npz")
    alone = tmp_path / "alone"  # a tokenizer that has no prior yet
    shutil.copytree(tiny_two, alone)
    (alone / "prior.safetensors").unlink()
    words = ["evaluate", "reconstructions", tiny_bundle, alone, "--data", packed, "--picture", picture]
    assert main([str(w) for w in (*words, "--device", "cpu")]) == 0
    printed = capsys.readouterr().out
    assert "| Tiny | " in printed
    assert "| Tiny, two levels | " in printed
    assert imread(picture).std() > 0.05
    assert main([str(w) for w in (*words[:-1], tmp_path / "no" / "p.png")]) == 2
    assert "is no folder" in capsys.readouterr().err
