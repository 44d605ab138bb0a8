"""AnoGAN: the distance of a slice from the closest one that a GAN of healthy slices generates (Schlegl et al. 2017).

    z_j = argmin_z A(z), by gradient descent from z ~ N(0, I)          X_j = G(z_j)          residual = |Y − X_j|

    A(z) = (1 − λ) · mean |Y − G(z)| + λ · mean |f(Y) − f(G(z))|       (`nets.latent_search`)

Searches from several random z are samples, like restorations. More steps continue the stored searches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import model_validator

from napari_vqad.detectors.base import BaseDetector, BundleConfig
from napari_vqad.detectors.descent_settings import SearchSettings
from napari_vqad.detectors.gradient_steps import AT_ONCE, batches
from napari_vqad.detectors.protocol import Arrays, Family, Job, MapSpec, SliceData, Stage
from napari_vqad.detectors.sample_maps import POOLED, SampleMaps, sample_maps
from napari_vqad.detectors.vae import draw
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.nets.device import device_of, exact, moved, times_of_cpu
from napari_vqad.nets.gan import GanSizes, Generator, SliceDiscriminator
from napari_vqad.nets.latent_search import LatentSearch, SearchState
from napari_vqad.nets.weights import read_network, save_weights
from napari_vqad.settings import SharedSettings

STATE = ("z", "m", "v")


class AnoGANConfig(BundleConfig):
    """`config.json` of a bundle with this detector."""

    detector: Literal["anogan"] = "anogan"
    network: GanSizes = GanSizes()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.network.grid(self.grid.shape)  # refuses slices of other sizes
        return self


class AnoGANDetector(BaseDetector):
    """Distance of a slice from the closest slice that a GAN of healthy slices generates."""

    kind: ClassVar[str] = "anogan"
    family: ClassVar[Family] = "gan"
    files: ClassVar[tuple[str, ...]] = ("generator.safetensors", "discriminator.safetensors")
    Settings: ClassVar[type[SharedSettings]] = SearchSettings
    Config: ClassVar[type[Any]] = AnoGANConfig
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage(
            "search",
            "Latent search",
            settings=("search_steps", "search_rate", "feature_weight", "seed"),
            samples="searches",
            at_once=AT_ONCE,
        ),
    )
    maps: ClassVar[tuple[MapSpec, ...]] = sample_maps("search")
    pooled: ClassVar[Mapping[str, str]] = POOLED
    slice_title: ClassVar[str | None] = "AnoGAN loss"
    slice_unit: ClassVar[str | None] = "SD"

    def __init__(self, generator: Generator, discriminator: SliceDiscriminator, sizes: GanSizes) -> None:
        self.generator, self.discriminator, self.sizes = generator, discriminator, sizes
        self.device = device_of(generator)
        self._of_samples = SampleMaps("search")

    @classmethod
    def load(cls, config: AnoGANConfig, files: Snapshot) -> Self:
        """Load the networks of a bundle.

        Raises:
            InputError: a file is missing, or of another network.
        """
        sizes, shape = config.network, config.grid.shape
        generator = read_network(files, cls.files[0], partial(Generator, sizes, shape))
        return cls(generator, read_network(files, cls.files[1], partial(SliceDiscriminator, sizes, shape)), sizes)

    def save(self, folder: Path) -> None:
        """Write both networks into a folder, half precision."""
        for network, name in zip((self.generator, self.discriminator), self.files, strict=True):
            save_weights(network, folder / name)

    def to(self, device: torch.device) -> Self:
        """Return the same networks on another device, as new modules."""
        return type(self)(moved(self.generator, device), moved(self.discriminator, device), self.sizes)

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Search for each slice and sample.

        Returns:
            of each slice: "z", "m", "v", (S, latent), where the searches are; "loss", A(z), (S,); "difference",
            Y − G(z), (S, H, W), SD.
        """
        found: list[list[Arrays]] = [[] for _ in job.indices]
        for j in job.samples:
            begun = [self._begin(job, row, j) for row in range(len(job.indices))]
            for steps in sorted({steps for _, steps in begun}):  # searches with as many steps are continued together
                rows = [row for row, (_, done) in enumerate(begun) if done == steps]
                for part in batches(rows, job.slices[0].size, times_of_cpu(self.device)):
                    z, m, v = (self._tensor(np.stack([begun[row][0][name] for row in part])) for name in STATE)
                    for row, arrays in zip(part, self._search(job, part, SearchState(z, m, v, steps)), strict=True):
                        found[row].append(arrays)
        return [{name: np.stack([of[name] for of in each]) for name in each[0]} for each in found]

    def _begin(self, job: Job, row: int, j: int) -> tuple[Arrays, int]:
        """Return where search j of a slice begins, and its steps so far: the longest shorter search that is stored."""
        steps = job.settings.search_steps
        stored = [(n, a) for n, a in job.near(row, "search_steps") if n < steps and len(a.get("z", ())) > j]
        if stored:
            done, arrays = max(stored, key=lambda pair: pair[0])
            return {name: arrays[name][j] for name in STATE}, int(done)
        z = draw(job.settings.seed, job.indices[row], j, (self.sizes.latent,))
        return {"z": z, "m": np.zeros_like(z), "v": np.zeros_like(z)}, 0

    def _search(self, job: Job, rows: Sequence[int], state: SearchState) -> list[Arrays]:
        settings, rows = job.settings, list(rows)
        slices, position = self._tensor(job.slices[rows])[:, None], self._tensor(job.position[rows])
        with torch.inference_mode(False), torch.no_grad(), exact(self.device):
            search = LatentSearch(self.generator, self.discriminator, slices, position, settings.feature_weight)
            state = search.run(state, settings.search_steps, settings.search_rate, job.check)
            loss, generated = search.loss(state.z)
            difference = (slices - generated)[:, 0].half()
        parts = {"z": state.z, "m": state.m, "v": state.v, "loss": loss, "difference": difference}
        arrays = {name: tensor.cpu().numpy() for name, tensor in parts.items()}
        return [{name: array[i] for name, array in arrays.items()} for i in range(len(rows))]

    def map(self, name: str, data: SliceData) -> NDArray:
        """Compute one slice of a map; see `detectors.sample_maps`."""
        return self._of_samples(name, data)

    def healthy(self, name: str, settings: SearchSettings) -> tuple[str, str] | None:
        """Return the table of healthy residuals, which holds for the spread of the searches, too."""
        return ("residual", self.kind) if name in ("residual", "disagreement") else None

    def slice_score(self, results: Arrays, settings: SearchSettings) -> NDArray | None:
        """Return A(z) of each slice after its first search, (n,): the paper's anomaly score as means."""
        return results["loss"]

    def slice_words(self, settings: SearchSettings) -> str:
        """Describe A(z)."""
        return (
            f"AnoGAN loss of each slice: residual and, with weight {settings.feature_weight:g}, distance of the "
            "discriminator's features, that its first latent search leaves."
        )

    def in_words(self, settings: SearchSettings, thresholds: Mapping[str, float]) -> str:
        """Describe the search in a few words."""
        searches = f"{settings.searches} searches of " if settings.searches > 1 else ""
        return f"{self.kind}, {searches}{settings.search_steps} steps"

    def about(self) -> list[tuple[str, str]]:
        """Describe the networks."""
        generator, discriminator = (
            sum(p.numel() for p in network.parameters()) / 1e6 for network in (self.generator, self.discriminator)
        )
        sizes = f"generator {generator:.2f} M, discriminator {discriminator:.2f} M parameters"
        return [*super().about(), ("networks", f"{sizes}, latent of {self.sizes.latent} numbers")]

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Check that results have the shapes and types of the search."""
        latent = (np.float32, (self.sizes.latent,))
        kinds = dict.fromkeys(STATE, latent) | {"loss": (np.float32, ()), "difference": (np.float16, tuple(shape))}
        if set(results) != {"search"}:
            return False
        return all(
            not arrays
            or (
                {name: (a.dtype.type, tuple(a.shape[1:])) for name, a in arrays.items()} == kinds
                and len({len(a) for a in arrays.values()}) == 1
            )
            for arrays in results["search"]
        )

    def _tensor(self, array: NDArray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(array)).to(self.device, torch.float32)
