"""The autoencoder detector: the distance of a slice from its reconstruction by a network trained on healthy slices.

    restoration X = g(f(Y))          residual = |Y − X|

Baur et al. 2018 (dAE, sAE) and Meissen et al. 2022 (vanilla and spatial autoencoder).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator

from napari_vqad.detectors.base import BundleConfig
from napari_vqad.detectors.one_network import OneNetworkDetector
from napari_vqad.detectors.picture_maps import picture_map, picture_maps
from napari_vqad.detectors.protocol import Arrays, Family, Job, MapSpec, SliceData, Stage
from napari_vqad.nets import autoencoder
from napari_vqad.nets.autoencoder import AutoencoderSizes, LatentNetwork
from napari_vqad.nets.autoencoder_layouts import Sizes, make_autoencoder
from napari_vqad.nets.device import exact, quick


class NetworkConfig(BundleConfig):
    """The part of `config.json` that describes the network."""

    network: Sizes = AutoencoderSizes()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.network.grid(self.grid.shape)  # refuses slices of other sizes
        return self


class AutoencoderConfig(NetworkConfig):
    """`config.json` of a bundle with this detector."""

    detector: Literal["autoencoder"] = "autoencoder"


class NetworkDetector(OneNetworkDetector):
    """A detector with one autoencoder; `variational` is True for a VAE."""

    family: ClassVar[Family] = "autoencoder"
    network: LatentNetwork
    variational: ClassVar[bool]

    @classmethod
    def make(cls, config: Any) -> LatentNetwork:
        """Make the network of a config, untrained."""
        return make_autoencoder(config.network, config.grid.shape, cls.variational)

    @torch.inference_mode()
    def loss(self, slices: NDArray, position: NDArray) -> NDArray[np.float32]:
        """Compute the loss of each slice (B, H, W) at the mean of its latent: (B,). See `nets.autoencoder.loss`."""
        found = []
        with exact(self.device):
            for start in range(0, len(slices), 16):
                part = slice(start, start + 16)
                y, place = self._tensor(slices[part])[:, None], self._tensor(position[part])
                latent = self.network.encode(y, place)
                found.append(autoencoder.loss(self.network, y, self.network.decode(latent.mean, place), latent))
        return torch.cat(found).cpu().numpy()

    def about(self) -> list[tuple[str, str]]:
        """Describe the network and its latent."""
        millions = sum(p.numel() for p in self.network.parameters()) / 1e6
        latent = "×".join(map(str, self.network.latent_shape[1:] + self.network.latent_shape[:1]))
        kind = "spatial" if self.network.spatial else "dense"
        return [*super().about(), ("network", f"{millions:.2f} M parameters, {kind} latent of {latent} numbers")]

    def _tensor(self, array: NDArray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device, torch.float32)


class AutoencoderDetector(NetworkDetector):
    """Distance of a slice from its reconstruction by an autoencoder of healthy slices."""

    kind: ClassVar[str] = "autoencoder"
    variational: ClassVar[bool] = False
    Config: ClassVar[type[Any]] = AutoencoderConfig
    stages: ClassVar[tuple[Stage, ...]] = (Stage("reconstruct", "Reconstructions", at_once=16),)
    maps: ClassVar[tuple[MapSpec, ...]] = picture_maps("reconstruct", "Reconstruction")

    @property
    def loss_title(self) -> str | None:
        """Return the name of the loss."""
        return "AE loss"

    @torch.inference_mode()
    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Compute the reconstruction of each slice, (1, H, W), SD."""
        job.check()
        with quick(self.device):
            decoded = autoencoder.reconstruct(
                self.network, self._tensor(job.slices)[:, None], self._tensor(job.position)
            )
        return [{"reconstruction": x} for x in decoded.float().cpu().numpy()]

    def map(self, name: str, data: SliceData) -> NDArray:
        """Compute one slice of a map: the reconstruction, or its distance from the scan."""
        return picture_map(name, data.stages["reconstruct"]["reconstruction"][0], data)
