"""How long each novelty score takes for a whole brain, on simulated diffusion measurements.

A voxel is a fibre with a tensor of its own in free water; measured are six b = 0 images and directions that are spread
evenly over the sphere (Vasilev et al. 2018 have 40), with Rician noise:

    S(b, g) = (1 − w) exp(−b (λ⊥ + (λ∥ − λ⊥) (g·e)²)) + w exp(−b 3)          b in ms/µm², λ in µm²/ms

A VAE is trained on them for a short time, so that its codes lie as those of a real one do: the time of a search for
neighbours depends on that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.nets.voxel_vae import Shape, VectorVAE, VoxelVAESizes, make_vector_vae
from napari_vqad.scores.novelty.batch import Options, Reference
from napari_vqad.scores.novelty.compute import novelty
from napari_vqad.scores.novelty.elbo import negative_elbo
from napari_vqad.scores.novelty.table import SCORES, NoveltyScore

B, UNWEIGHTED, SNR = 1.2, 6, 25.0  # ms/µm², images with b = 0, signal-to-noise ratio of these
TRAIN_BATCH = 1024
AT_ONCE = 50_000  # voxels that are simulated together


class Timed(NamedTuple):
    """Times of one score.

    Attributes:
        once: seconds for what is computed once for a reference: codes, reconstructions, indices.
        each: seconds for all voxels, extrapolated from those that were measured.
        cpu: the processor's seconds of `each`, summed over threads; not more on a busy machine.
    """

    score: NoveltyScore
    once: float
    each: float
    cpu: float


def simulated_voxels(n: int, measurements: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Simulate voxels (n, measurements), each measurement in units of its mean.

    Raises:
        ValueError: there are fewer than seven measurements.
    """
    directions = measurements - UNWEIGHTED
    if directions < 1:
        raise ValueError("seven measurements or more are needed")
    height = 1 - 2 * (np.arange(directions) + 0.5) / directions
    turn = np.pi * (1 + np.sqrt(5)) * np.arange(directions)  # a spiral of golden angles
    flat = np.sqrt(1 - height**2)
    g = np.stack([np.cos(turn) * flat, np.sin(turn) * flat, height])
    parts = [_signals(min(AT_ONCE, n - start), g, rng) for start in range(0, n, AT_ONCE)]
    signals = np.concatenate(parts)
    return (signals / signals.mean(0)).astype(np.float32)


def _signals(n: int, g: NDArray, rng: np.random.Generator) -> NDArray:
    fibre = rng.normal(size=(n, 3))
    fibre /= np.linalg.norm(fibre, axis=1, keepdims=True)
    across = rng.uniform(0.2, 0.7, (n, 1))
    along = across + rng.uniform(0, 1.3, (n, 1))
    water = rng.beta(0.3, 2, (n, 1))
    tissue = np.exp(-B * (across + (along - across) * (fibre @ g) ** 2))
    weighted = (1 - water) * tissue + water * np.exp(-3 * B)
    clean = np.hstack([np.ones((n, UNWEIGHTED)), weighted]) * (1 + water) * rng.normal(1, 0.1, (n, 1))
    noise = rng.normal(0, 1 / SNR, (2, *clean.shape))
    return np.hypot(clean + noise[0], noise[1])


def trained(voxels: torch.Tensor, shape: Shape, steps: int) -> VectorVAE:
    """Train one of the paper's VAEs on voxels (N, measurements) for some steps."""
    torch.manual_seed(0)
    vae = make_vector_vae(VoxelVAESizes.of(shape, voxels.shape[1])).to(voxels.device)
    adam = torch.optim.Adam(vae.parameters(), 1e-3)
    for _ in range(steps):
        x = voxels[torch.randint(len(voxels), (TRAIN_BATCH,), device=voxels.device)]
        noise = torch.randn(1, len(x), vae.latent, device=voxels.device)
        loss = negative_elbo(x, vae.encode(x), vae.decode, noise).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return vae.eval().requires_grad_(False)


def measure(
    vae: VectorVAE,
    vectors: torch.Tensor,
    x: torch.Tensor,
    voxels: int,
    options: Options,
    say: Callable[[str], None] = print,
) -> list[Timed]:
    """Time all scores.

    Args:
        vae: see `trained`.
        vectors: the reference, (M, measurements).
        x: voxels to measure on, (n, measurements).
        voxels: number of voxels for which the times are extrapolated.
        options: of the scores.
        say: told each score.
    """
    found = []
    for name, score in SCORES.items():
        reference = Reference(vae, vectors)  # each score builds what it needs of it
        started = time.perf_counter()
        novelty([name], x, vae, reference, options)
        first = time.perf_counter() - started
        started, cpu = time.perf_counter(), time.process_time()
        novelty([name], x, vae, reference, options)
        again, cpu = time.perf_counter() - started, time.process_time() - cpu
        found.append(Timed(score, max(0.0, first - again), again * voxels / len(x), cpu * voxels / len(x)))
        say(f"{name}: {found[-1].each:.0f} s")
    return found


def table(times: Sequence[Timed]) -> str:
    """Make a Markdown table."""
    lines = ["| equation | score | symbol | once, s | all voxels, s | of a core, s |", "|---|---|---|---|---|---|"]
    for t in times:
        numbers = " | ".join(f"{value:.3g}" for value in (t.once, t.each, t.cpu))
        lines.append(f"| {t.score.equation or '–'} | {t.score.title} | {t.score.symbol} | {numbers} |")
    return "\n".join(lines)
