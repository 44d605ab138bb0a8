"""The network keeps the shape, sees far enough, and does not mind the scanner's unit."""

import pytest
import torch

from napari_vqad.nets.unet3d import UNet3d


@pytest.mark.parametrize("shape", [(16, 16, 16), (8, 24, 16)])
def test_logits_have_the_shape_of_the_head(shape):
    assert UNet3d((4, 8, 8))(torch.randn(2, 1, *shape)).shape == (2, 1, *shape)


def test_every_weight_learns():
    network = UNet3d((4, 8, 8))
    network(torch.randn(1, 1, 8, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_voxel_depends_on_places_beyond_its_3x3x3():
    torch.manual_seed(0)
    network, head = UNet3d((4, 8, 8)), torch.randn(1, 1, 16, 16, 16, requires_grad=True)
    network(head)[0, 0, 8, 8, 8].backward()
    assert head.grad[0, 0, 2, 8, 8] != 0
