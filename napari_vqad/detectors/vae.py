"""The VAE detector: S decoded draws from the latent distribution of a slice, which are samples like restorations.

    z_j = μ(Y) + σ(Y)·ε_j,  ε_j ~ N(0, I)          X_j = g(z_j)

Baur et al. 2018 (dVAE, sVAE), and the baseline of Marimont & Tarroni 2020 (dense latent of 128 numbers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.autoencoder import NetworkConfig, NetworkDetector
from napari_vqad.detectors.protocol import Arrays, Job, MapSpec, SliceData, Stage
from napari_vqad.detectors.sample_maps import POOLED, SampleMaps, sample_maps
from napari_vqad.detectors.sampling import SampleSettings
from napari_vqad.nets.device import exact, quick
from napari_vqad.settings import SharedSettings


class VAEConfig(NetworkConfig):
    """`config.json` of a bundle with this detector."""

    detector: Literal["vae"] = "vae"


class VAEDetector(NetworkDetector):
    """Distance of a slice from what a variational autoencoder of healthy slices draws for it."""

    kind: ClassVar[str] = "vae"
    variational: ClassVar[bool] = True
    Settings: ClassVar[type[SharedSettings]] = SampleSettings
    Config: ClassVar[type[Any]] = VAEConfig
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage("encode", "Latents", at_once=16),
        Stage("decode", "Draws", ("encode",), ("seed",), samples="n_restorations", rebuildable=True),
    )
    maps: ClassVar[tuple[MapSpec, ...]] = sample_maps("decode")
    pooled: ClassVar[Mapping[str, str]] = POOLED

    def __init__(self, network: Any) -> None:
        super().__init__(network)
        self._of_samples = SampleMaps("decode")

    @property
    def loss_title(self) -> str | None:
        """Return the name of the loss, which Marimont & Tarroni 2020 use as the baseline's slice score."""
        return "VAE loss"

    @torch.inference_mode()
    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Compute {"mean", "sigma"} of each slice, (1, *latent); then {"difference"}, Y − X_j, (S, H, W), SD."""
        position = self._tensor(job.position)
        if stage == "encode":
            with exact(self.device):
                latent = self.network.encode(self._tensor(job.slices)[:, None], position)
            assert latent.log_variance is not None
            mean, sigma = (x.cpu().numpy() for x in (latent.mean, (0.5 * latent.log_variance).exp()))
            return [{"mean": m[None], "sigma": s[None]} for m, s in zip(mean, sigma, strict=True)]
        found = []
        for row, (index, done) in enumerate(zip(job.indices, job.done["encode"], strict=True)):
            job.check()
            noise = np.stack([draw(job.settings.seed, index, j, self.network.latent_shape) for j in job.samples])
            z = self._tensor(done["mean"] + done["sigma"] * noise)
            with quick(self.device):
                decoded = self.network.decode(z, position[row : row + 1].expand(len(z)))[:, 0]
            difference = self._tensor(job.slices[row]) - decoded.float()
            found.append({"difference": difference.half().cpu().numpy()})
        return found

    def map(self, name: str, data: SliceData) -> NDArray:
        """Compute one slice of a map; see `detectors.sample_maps`."""
        return self._of_samples(name, data)

    def healthy(self, name: str, settings: SampleSettings) -> tuple[str, str] | None:
        """Return the table of healthy residuals, which holds for the spread of the draws, too."""
        return ("residual", self.kind) if name in ("residual", "disagreement") else None

    def in_words(self, settings: SampleSettings, thresholds: Mapping[str, float]) -> str:
        """Describe the draws in a few words."""
        return f"{self.kind}, S = {settings.n_restorations}, k = {settings.k:g}"

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Check that results have the shapes and types of both stages."""
        if set(results) != {stage.name for stage in self.stages}:
            return False
        kinds = {
            ("encode", "mean"): (np.float32, self.network.latent_shape),
            ("encode", "sigma"): (np.float32, self.network.latent_shape),
            ("decode", "difference"): (np.float16, tuple(shape)),
        }
        for stage, slices in results.items():
            names = {name for of_stage, name in kinds if of_stage == stage}
            for arrays in slices:
                if arrays and set(arrays) != names:
                    return False
                if any((a.dtype, tuple(a.shape[1:])) != kinds[stage, name] for name, a in arrays.items()):
                    return False
        return True


def draw(seed: int, index: int, j: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw ε_j of a slice; it depends on nothing but its arguments, so more draws keep the first ones."""
    philox = np.random.Philox(key=[seed, (index << 32) | j])
    return np.random.Generator(philox).standard_normal(shape, dtype=np.float32)
