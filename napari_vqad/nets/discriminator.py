"""The patch discriminator of a VQ-GAN: which patches of a slice look real (Isola et al. 2017; Esser et al. 2021)."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F


class Discriminator(nn.Module):
    """Strided convolutions; each output judges a patch of 34 pixels with two halvings, of 70 pixels with three.

    It has no normalisation layer, like the tokenizer: statistics of the slice would make each patch depend on all.
    """

    def __init__(self, width: int = 32, halvings: int = 2) -> None:
        super().__init__()
        widths = [1, *(width * min(2**i, 8) for i in range(halvings))]
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in pairwise(widths))
        last = widths[-1] * 2
        self.more = nn.Conv2d(widths[-1], last, 4, padding=1)
        self.out = nn.Conv2d(last, 1, 4, padding=1)

    def forward(self, slices: Tensor) -> Tensor:
        """Judge slices (B, 1, H, W) in SD: (B, 1, h, w), high where they look real."""
        x = slices
        for layer in (*self.down, self.more):
            x = F.leaky_relu(layer(x), 0.2)
        return self.out(x)


def hinge(real: Tensor, decoded: Tensor) -> Tensor:
    """Compute ½ mean(max(0, 1 − D(Y)) + max(0, 1 + D(X))), a loss of the discriminator (Esser et al. 2021)."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + decoded).mean())


def log_loss(real: Tensor, decoded: Tensor) -> Tensor:
    """Compute mean(−log σ(D(Y)) − log(1 − σ(D(X)))), a loss of the discriminator (Ishii 2023, eq. 13)."""
    return F.softplus(-real).mean() + F.softplus(decoded).mean()


def convince_hinge(decoded: Tensor) -> Tensor:
    """Compute mean(−D(X)), the loss of the decoder that goes with `hinge`."""
    return -decoded.mean()


def convince_log(decoded: Tensor) -> Tensor:
    """Compute mean(log(1 − σ(D(X)))), the loss of the decoder in eq. 13 of Ishii 2023."""
    return -F.softplus(decoded).mean()


def convince_bce(decoded: Tensor) -> Tensor:
    """Compute mean(−log σ(D(X))), the loss of the decoder in Baur et al. 2018, which goes with `log_loss`."""
    return F.softplus(-decoded).mean()


# Losses of a VQ-GAN: that of the discriminator, that of the decoder.
LOSSES = {"hinge": (hinge, convince_hinge), "log": (log_loss, convince_log)}
