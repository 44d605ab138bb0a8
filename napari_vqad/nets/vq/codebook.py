"""Vector quantisation with a codebook trained by moving averages or by gradient (van den Oord et al. 2017)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LatentLosses(NamedTuple):
    """Losses that draw latents z and codebook vectors e towards each other, averaged over all their elements.

    Attributes:
        commitment: ‖z − sg(e)‖², whose gradient reaches the encoder.
        codebook: ‖sg(z) − e‖², whose gradient reaches the codebook; 0 for a codebook of moving averages.
    """

    commitment: Tensor
    codebook: Tensor


class Codebook(nn.Module):
    """K vectors of D numbers; each latent becomes the nearest one.

    The codebook is learnt by moving averages of the latents that fall to each code (appendix A.1 of the paper). A code
    that hardly any latent falls to is *dead*; it is revived at a latent of the batch, so that the whole codebook stays
    in use. After `learn_by_gradient` the codebook descends its own loss instead, and no code is revived.
    """

    vectors: Tensor
    usage: Tensor
    sums: Tensor

    def __init__(self, n_codes: int, dim: int, decay: float = 0.99, dead_below: float = 0.03) -> None:
        """`dead_below`: share of a code's fair part of the latents below which it counts as dead."""
        super().__init__()
        self.decay, self.dead_below = decay, dead_below
        self.register_buffer("vectors", torch.randn(n_codes, dim))
        self.register_buffer("usage", torch.zeros(n_codes))
        self.register_buffer("sums", torch.zeros(n_codes, dim))
        self.start_at_latents = True

    def learn_by_gradient(self, start_at_latents: bool = False) -> None:
        """Make the vectors a parameter; weights in files stay the same kind.

        Args:
            start_at_latents: the vectors begin as latents of the first batch, so that many codes are in use from the
                start. Without it they are drawn from (−1/K, 1/K), as in the authors' code.
        """
        vectors = self.vectors.uniform_(-1 / len(self.vectors), 1 / len(self.vectors))
        del self.vectors
        self.vectors = nn.Parameter(vectors)
        self.start_at_latents = start_at_latents

    @property
    def _by_gradient(self) -> bool:
        return isinstance(self.vectors, nn.Parameter)

    def nearest(self, latents: Tensor) -> Tensor:
        """Return the codes (B, h, w) of latents (B, D, h, w): argmin_k ‖z − e_k‖²."""
        flat = latents.permute(0, 2, 3, 1).float()
        with torch.autocast(latents.device.type, enabled=False):  # bfloat16 could change which vector is nearest
            # ‖z‖² is left out, because it is the same for all k.
            distance = (self.vectors**2).sum(1) - 2.0 * flat @ self.vectors.T
        return distance.argmin(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Return the vectors (B, D, h, w) of codes (B, h, w)."""
        return F.embedding(codes, self.vectors).permute(0, 3, 1, 2)

    def forward(self, latents: Tensor) -> tuple[Tensor, Tensor, LatentLosses]:
        """Quantise and, when training, learn.

        Returns:
            quantised latents (B, D, h, w), through which gradients pass straight to `latents`;
            codes (B, h, w);
            the losses of latents and codebook.
        """
        latents = latents.float()
        averages = self.training and not self._by_gradient
        if self.training and self.start_at_latents and not self.usage.any():
            self._start(latents)
        codes = self.nearest(latents)
        quantised = self.lookup(codes)
        if averages:
            self._learn(latents, codes)
        commitment = F.mse_loss(latents, quantised.detach())
        pull = F.mse_loss(quantised, latents.detach()) if self._by_gradient else latents.new_zeros(())
        return latents + (quantised - latents).detach(), codes, LatentLosses(commitment, pull)

    @torch.no_grad()
    def _start(self, latents: Tensor) -> None:
        self.vectors.copy_(self._draw(latents, len(self.vectors)))
        self.usage.fill_(1.0)
        self.sums.copy_(self.vectors)

    @torch.no_grad()
    def _learn(self, latents: Tensor, codes: Tensor) -> None:
        n_codes = len(self.vectors)
        flat = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
        one_hot = F.one_hot(codes.reshape(-1), n_codes).to(flat.dtype)
        with torch.autocast(latents.device.type, enabled=False):
            self.usage.lerp_(one_hot.sum(0), 1 - self.decay)
            self.sums.lerp_(one_hot.T @ flat, 1 - self.decay)
        dead = self.usage < self.dead_below * flat.shape[0] / n_codes
        self.vectors.copy_(torch.where(dead[:, None], self.vectors, self.sums / self.usage.clamp_min(1e-6)[:, None]))
        if dead.any():
            fresh = self._draw(latents, int(dead.sum()))
            fair = flat.shape[0] / n_codes
            self.vectors[dead], self.sums[dead], self.usage[dead] = fresh, fresh * fair, fair

    @staticmethod
    def _draw(latents: Tensor, n: int) -> Tensor:
        flat = latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])
        return flat[torch.randint(len(flat), (n,), device=flat.device)]


def perplexity(codes: Tensor, n_codes: int) -> Tensor:
    """Compute exp(entropy of the use of codes), a scalar: n_codes if all are used equally, 1 if only one is used."""
    share = torch.bincount(codes.reshape(-1), minlength=n_codes).double()
    share = share / share.sum()
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum())
