"""The GANomaly detector (Akcay et al. 2018): the distance between the latents of a slice and of its reconstruction.

    z = E1(Y)      X = D(z)      ẑ = E2(X)          A = mean |z − ẑ|          residual = |Y − X|

A is the score of a slice; the residual shows where the slice differs from its reconstruction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator

from napari_vqad.detectors.base import BundleConfig
from napari_vqad.detectors.one_network import OneNetworkDetector
from napari_vqad.detectors.picture_maps import picture_map, picture_maps
from napari_vqad.detectors.protocol import Arrays, Family, Job, MapSpec, SliceData, Stage
from napari_vqad.nets.device import exact
from napari_vqad.nets.ganomaly import GanomalySizes, Generator, Passed


class GanomalyConfig(BundleConfig):
    """`config.json` of a bundle with this detector."""

    detector: Literal["ganomaly"] = "ganomaly"
    network: GanomalySizes = GanomalySizes()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.network.grids(self.grid.shape)  # refuses slices that are too small
        return self


class GanomalyDetector(OneNetworkDetector):
    """Distance between the latent of a slice and the latent of its reconstruction (GANomaly)."""

    kind: ClassVar[str] = "ganomaly"
    family: ClassVar[Family] = "gan"
    Config: ClassVar[type[Any]] = GanomalyConfig
    slice_title: ClassVar[str | None] = "GANomaly score"
    slice_unit: ClassVar[str | None] = "|z − ẑ|"
    stages: ClassVar[tuple[Stage, ...]] = (Stage("reconstruct", "Reconstructions", at_once=16),)
    maps: ClassVar[tuple[MapSpec, ...]] = picture_maps("reconstruct", "Reconstruction")

    network: Generator

    @classmethod
    def make(cls, config: GanomalyConfig) -> Generator:
        """Make the generator of a config, untrained."""
        return Generator(config.network, config.grid.shape, config.grid.clip)

    def slice_score(self, results: Arrays, settings: Any) -> NDArray | None:
        """Compute A = mean |z − ẑ| of each slice, (n,): the score of the paper, divided by the number of latents."""
        return results["latent_error"].mean(1)

    def slice_words(self, settings: Any) -> str:
        """Describe A."""
        return (
            "GANomaly score of each slice: the mean distance |z − ẑ| between its latent and that of its reconstruction."
        )

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Compute of each slice the reconstruction, (1, H, W), SD, and |z − ẑ|, (1, latent)."""
        job.check()
        passed = self._pass(job.slices)
        pictures = self.network.unscaled(passed.decoded).cpu().numpy()
        lost = (passed.z - passed.z_again).abs().cpu().numpy()
        return [{"reconstruction": x, "latent_error": d[None]} for x, d in zip(pictures, lost, strict=True)]

    def map(self, name: str, data: SliceData) -> NDArray:
        """Compute one slice of a map: the reconstruction, or its distance from the scan."""
        return picture_map(name, data.stages["reconstruct"]["reconstruction"][0], data)

    def about(self) -> list[tuple[str, str]]:
        """Describe the network and its latent."""
        millions = sum(p.numel() for p in self.network.parameters()) / 1e6
        latent = self.network.encoder.out.out_channels
        return [*super().about(), ("network", f"{millions:.2f} M parameters, latent of {latent} numbers")]

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Check that results have the shapes and types of the stage."""
        if set(results) != {stage.name for stage in self.stages}:
            return False
        wanted = {"reconstruction": (1, *shape), "latent_error": (1, self.network.encoder.out.out_channels)}
        return all(
            not arrays
            or {k: (a.shape, a.dtype) for k, a in arrays.items()} == {k: (s, np.float32) for k, s in wanted.items()}
            for arrays in results["reconstruct"]
        )

    @torch.inference_mode()
    def _pass(self, slices: NDArray) -> Passed:
        """Pass slices (B, H, W) in SD through the generator."""
        with exact(self.device):
            y = torch.as_tensor(np.ascontiguousarray(slices)).to(self.device, torch.float32)[:, None]
            return self.network(self.network.scaled(y))
