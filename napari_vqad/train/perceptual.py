"""Perceptual distance of two slices: LPIPS, or the distance of features of a trained tokenizer's encoder.

LPIPS (Zhang et al. 2018) needs the weights of VGG16, which are not part of this package; give a local safetensors file
of them.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_vqad.nets.vq.registry import OwnTokenizer
from napari_vqad.nets.weights import load_weights


class Perceptual(Protocol):
    """A distance between slices."""

    name: str
    weight: float  # weight in a loss

    def __call__(self, slices: Tensor, others: Tensor, position: Tensor) -> Tensor:
        """Compute the mean distance of slices and others (B, 1, H, W), SD, at positions (B,): a scalar, 0 if equal."""


def _unit(x: Tensor) -> Tensor:
    """Normalise features to unit length at each place, as in LPIPS."""
    return x * torch.rsqrt((x * x).sum(1, keepdim=True) + 1e-6)


class EncoderFeatures:
    """Squared distance of unit-length features after each level of a tokenizer's encoder, which is not trained."""

    name = "features of a VQ-VAE's encoder"

    def __init__(self, tokenizer: OwnTokenizer, weight: float = 1.0) -> None:
        self.weight = weight
        self.tokenizer = tokenizer.eval().requires_grad_(False)

    def __call__(self, slices: Tensor, others: Tensor, position: Tensor) -> Tensor:
        """Compute Σ over levels of mean ‖f(Y) − f(X)‖²."""
        found = zip(self.tokenizer.features(slices, position), self.tokenizer.features(others, position), strict=True)
        return torch.stack([((_unit(a) - _unit(b)) ** 2).sum(1).mean() for a, b in found]).sum()


class VGG16Features(nn.Module):
    """The convolutions of VGG16 up to relu5_3 (Simonyan & Zisserman 2015), and LPIPS's weight of each channel.

    Names of the weights: `conv.N.weight`, `conv.N.bias` for the 13 convolutions in order, `linear.N` (C,) for the five
    weighings.
    """

    stages = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *(c for stage in self.stages for c in stage)]
        self.conv = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.linear = nn.ParameterList(nn.Parameter(torch.zeros(stage[-1])) for stage in self.stages)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Compute the features after each of five stages, of RGB (B, 3, H, W) normalised by ImageNet's mean and SD."""
        found, layers = [], iter(self.conv)
        for i, stage in enumerate(self.stages):
            x = F.max_pool2d(x, 2) if i else x
            for _ in stage:
                x = F.relu(next(layers)(x))
            found.append(x)
        return found


class LPIPS:
    """Σ over stages of mean Σ_c w_c (f_c(Y) − f_c(X))², features of unit length (Zhang et al. 2018)."""

    name = "LPIPS, VGG16"
    mean, sd = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, on which VGG16 was trained

    def __init__(self, path: Path, clip: tuple[float, float], device: torch.device, weight: float = 1.0) -> None:
        """`clip` are the z-scores shown as black and white.

        Raises:
            InputError: the file is missing, broken, or of another network.
        """
        self.network = load_weights(VGG16Features(), path).to(device)
        self.clip, self.weight = clip, weight
        self._mean, self._sd = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (self.mean, self.sd))

    def __call__(self, slices: Tensor, others: Tensor, position: Tensor) -> Tensor:
        """Compute LPIPS of slices and others (B, 1, H, W); the position is not used."""
        pairs = zip(self.network(self._rgb(slices)), self.network(self._rgb(others)), strict=True)
        parts = [
            ((_unit(a) - _unit(b)) ** 2 * w.view(1, -1, 1, 1)).sum(1).mean()
            for (a, b), w in zip(pairs, self.network.linear, strict=True)
        ]
        return torch.stack(parts).sum()

    def _rgb(self, slices: Tensor) -> Tensor:
        low, high = self.clip
        grey = ((slices - low) / (high - low)).clamp(0, 1)
        return (grey.expand(-1, 3, -1, -1) - self._mean) / self._sd
