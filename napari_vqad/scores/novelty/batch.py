"""The inputs of the scores: a batch of vectors with codes and reconstructions, and the normal vectors Y."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from napari_vqad.scores.novelty.closest import BOUND, STEPS
from napari_vqad.scores.novelty.gaussians import Gaussian
from napari_vqad.scores.novelty.neighbours import GaussianNeighbours, Neighbours
from napari_vqad.scores.novelty.reconstruction import Samples

AT_ONCE = 4096  # vectors that go through the networks together


class VAE(Protocol):
    """A VAE of vectors, as `nets.voxel_vae.VectorVAE`; in eval mode, with weights that need no gradient.

    Attributes:
        measurements: C, numbers of a vector.
        latent: d, numbers of a code.
    """

    measurements: int
    latent: int

    def encode(self, x: Tensor) -> Gaussian:
        """q(z|x) of vectors (B, C): means and ln σ², (B, d) each."""

    def decode(self, z: Tensor) -> Gaussian:
        """p(x|z) of codes (B, d): means and ln σ², (B, C) each."""


@dataclass(frozen=True)
class Options:
    """What scores by samples, by search and by neighbours depend on.

    Attributes:
        samples: S, number of samples z_i and x_i.
        seed: of the samples' noise.
        bound: of z in the bounded searches.
        steps: largest number of L-BFGS iterations.
        candidates: number of neighbours whose Bhattacharyya distance is computed.
        components: largest number of normal vectors in the mixtures q_Y and p_Y; of more, every n-th is taken.

    Raises:
        ValueError: a number is below 1, or the bound is not positive.
    """

    samples: int = 16
    seed: int = 0
    bound: float = BOUND
    steps: int = STEPS
    candidates: int = 32
    components: int = 20_000

    def __post_init__(self) -> None:
        if min(self.samples, self.steps, self.candidates, self.components) < 1 or not self.bound > 0:
            raise ValueError("numbers of samples, steps, candidates and components are 1 or more, and the bound is > 0")


def _no_check() -> None:
    """Do nothing, so that the work is never stopped."""


class Reference:
    """Normal vectors Y (M, C), their codes and reconstructions; indices are built when a score first needs them.

    Args:
        vae: as for the scores.
        vectors: Y, (M, C), on the device of the networks.
        check: called before each batch; it may raise an exception to stop the work.

    Raises:
        ValueError: there are no vectors, or they are not finite.
    """

    def __init__(self, vae: VAE, vectors: Tensor, check: Callable[[], None] = _no_check) -> None:
        if not len(vectors) or not bool(vectors.isfinite().all()):
            raise ValueError("a reference needs a vector, and finite numbers")
        self.vectors, self._vae, self._check = vectors, vae, check

    @cached_property
    def codes(self) -> Gaussian:
        """q(z|y), (M, d) each."""
        return self._passed(self._vae.encode, self.vectors)

    @cached_property
    def outputs(self) -> Gaussian:
        """p(x | E q(z|y)), (M, C) each."""
        return self._passed(self._vae.decode, self.codes[0])

    @cached_property
    def near_vectors(self) -> Neighbours:
        """Index of Y."""
        return Neighbours(self.vectors)

    @cached_property
    def near_codes(self) -> Neighbours:
        """Index of the means E q(z|y)."""
        return Neighbours(self.codes[0])

    @cached_property
    def near_outputs(self) -> Neighbours:
        """Index of the means E p(x | E q(z|y))."""
        return Neighbours(self.outputs[0])

    @cached_property
    def near_code_gaussians(self) -> GaussianNeighbours:
        """Index of q(z|y) by Bhattacharyya distance."""
        return GaussianNeighbours.of(self.codes)

    @cached_property
    def near_output_gaussians(self) -> GaussianNeighbours:
        """Index of p(x | E q(z|y)) by Bhattacharyya distance."""
        return GaussianNeighbours.of(self.outputs)

    @torch.no_grad()
    def _passed(self, through: Callable[[Tensor], Gaussian], vectors: Tensor) -> Gaussian:
        means, log_variances = [], []
        for part in vectors.split(AT_ONCE):
            self._check()
            mean, log_variance = through(part)
            means.append(mean)
            log_variances.append(log_variance)
        return torch.cat(means), torch.cat(log_variances)


@dataclass(frozen=True)
class Batch:
    """Vectors to be judged, with what scores read of them.

    Attributes:
        x: (B, C).
        vae: as for the scores.
        given: the reference, if there is one.
        options: see `Options`.
        check: called often; it may raise an exception to stop the work.
    """

    x: Tensor
    vae: VAE
    given: Reference | None = None
    options: Options = field(default_factory=Options)
    check: Callable[[], None] = _no_check

    @property
    def reference(self) -> Reference:
        """The reference.

        Raises:
            ValueError: there is none.
        """
        if self.given is None:
            raise ValueError("this score compares with normal vectors, and needs a reference")
        return self.given

    @cached_property
    def q(self) -> Gaussian:
        """q(z|x), (B, d) each."""
        return self.vae.encode(self.x)

    @cached_property
    def p(self) -> Gaussian:
        """p(x | E q(z|x)), (B, C) each."""
        return self.vae.decode(self.q[0])

    @cached_property
    def drawn(self) -> Samples:
        """Reconstructions from sampled codes; all scores by samples share them."""
        return Samples.of(self.x, self.q, self.vae.decode, self.noise_z, self.noise_x)

    @cached_property
    def noise_z(self) -> Tensor:
        """ε of the codes, (S, d), the same for all batches."""
        return self._noise(self.vae.latent, 0)

    @cached_property
    def noise_x(self) -> Tensor:
        """ε of the vectors, (S, C), the same for all batches."""
        return self._noise(self.vae.measurements, 1)

    def _noise(self, numbers: int, stream: int) -> Tensor:
        # Drawn on the CPU, so that all devices have the same; row by row, so that more samples add to fewer.
        generator = torch.Generator().manual_seed(2 * self.options.seed + stream)
        return torch.stack([torch.randn(numbers, generator=generator) for _ in range(self.options.samples)]).to(self.x)
