"""q-space novelty: how unlike all normal voxels the diffusion measurements of a voxel are (Vasilev et al. 2018).

    x = measurements / mean of the scan / mean of each measurement          q(z|x), p(x|z): a VAE of normal voxels
    novelty = (N(x) − median of N) / (84th percentile − median of N)        N: one of the scores of `scores.novelty`

Median and percentile are those of normal voxels, so that all scores have one unit, healthy SD, and zero is the middle
of the normal ones; the order of the voxels is that of N, up to 1000 healthy SD. Each voxel is judged alone; its
neighbours play no part until the score is pooled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.base import BaseDetector
from napari_vqad.detectors.protocol import Arrays, Family, Job, MapSpec, SliceData, Stage
from napari_vqad.detectors.qspace import reference as stored
from napari_vqad.detectors.qspace.config import QSpaceConfig
from napari_vqad.detectors.qspace.settings import QSpaceSettings
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.nets.device import device_of, exact, moved
from napari_vqad.nets.voxel_vae import VoxelVAE
from napari_vqad.nets.weights import read_network, save_weights
from napari_vqad.scores.novelty.compute import novelty
from napari_vqad.scores.novelty.table import SCORES
from napari_vqad.settings import SharedSettings

FILE = "network.safetensors"
MOST = 1000.0  # healthy SD; higher scores count as this, since a few voxels, such as noise alone, have 10⁶ and more


class QSpaceDetector(BaseDetector):
    """Novelty of each voxel's diffusion measurements, by a VAE of normal voxels."""

    kind: ClassVar[str] = "qspace"
    family: ClassVar[Family] = "density"
    files: ClassVar[tuple[str, ...]] = (FILE, stored.FILE)
    Settings: ClassVar[type[SharedSettings]] = QSpaceSettings
    Config: ClassVar[type[Any]] = QSpaceConfig
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage("novelty", "Novelty", settings=("novelty",), at_once=4, focus_alone=True),
    )
    maps: ClassVar[tuple[MapSpec, ...]] = (
        MapSpec("novelty", "Novelty", "healthy SD", "evidence", "novelty", ("novelty",)),
    )
    scored: ClassVar[str | None] = "novelty"

    def __init__(self, network: VoxelVAE, config: QSpaceConfig, arrays: stored.Arrays) -> None:
        """Take a network, the config and what the bundle holds of its normal voxels (see `reference`)."""
        self.network, self.config, self.arrays = network, config, arrays
        self.device = device_of(network)
        self.reference = stored.make_reference(network, arrays, self.device)

    # ---- files ----------------------------------------------------------------------------------------------------

    @classmethod
    def load(cls, config: QSpaceConfig, files: Snapshot) -> Self:
        """Load network and normal voxels of a bundle.

        Raises:
            InputError: a file is missing, damaged, or of another network.
        """
        network = read_network(files, FILE, partial(VoxelVAE, config.network))
        return cls(network, config, stored.read_reference(files, config))

    def save(self, folder: Path) -> None:
        """Write network and normal voxels into a folder, half precision."""
        save_weights(self.network, folder / FILE)
        stored.write_reference(self.arrays, folder)

    def to(self, device: torch.device) -> Self:
        """Return the same detector on another device, with a new network."""
        return type(self)(moved(self.network, device), self.config, self.arrays)

    # ---- variants -------------------------------------------------------------------------------------------------

    @property
    def variants(self) -> tuple[str, ...]:
        """The scores that the bundle has healthy values of."""
        return tuple(self.config.scores)

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """The scores that the bundle has."""
        return {"novelty": self.variants}

    def variant(self, settings: Any) -> str:
        """Return the name of the score."""
        return settings.novelty

    def asks_for(self, variant: str) -> Mapping[str, Any]:
        """Return the setting that selects a score."""
        return {"novelty": variant}

    # ---- scores ---------------------------------------------------------------------------------------------------

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Compute the score of each voxel of the mask, in its own unit: (1, H, W), zero elsewhere."""
        assert job.measurements is not None
        found = np.zeros((len(job.indices), 1, *job.mask.shape[1:]), np.float32)
        found[:, 0][job.mask] = self.score(job.settings.novelty, job.measurements[job.mask], job.check)
        return [{"value": of_slice} for of_slice in found]

    def score(self, name: str, measurements: NDArray, check: Any = None) -> NDArray[np.float32]:
        """Compute a score of voxels (M, N), whose measurements are divided by the mean of their scan: (M,)."""
        prepared = measurements / np.asarray(self.config.channel_means, np.float32)
        x = torch.from_numpy(np.ascontiguousarray(prepared, np.float32)).to(self.device)
        with exact(self.device):
            return novelty([name], x, self.network, self.reference, check=check)[name]

    def map(self, name: str, data: SliceData) -> NDArray:
        """Return the score of one slice in healthy SD, zero outside the mask."""
        median, high = self.config.scores[data.settings.novelty]
        standardised = (data.stages["novelty"]["value"][0] - median) / (high - median)
        return np.where(data.mask, standardised.clip(-MOST, MOST), 0.0).astype(np.float32)

    # ---- words ----------------------------------------------------------------------------------------------------

    def in_words(self, settings: Any, thresholds: Mapping[str, float]) -> str:
        """Name the score with its symbol in the paper."""
        score = SCORES[settings.novelty]
        return f"{score.title}, {score.symbol}"

    def about(self) -> list[tuple[str, str]]:
        """Describe measurements, network, preparation and normal voxels."""
        sizes, known = self.config.network, self.config.grid.measurements
        assert known is not None
        layers = "-".join(map(str, (sizes.measurements, *sizes.hidden, sizes.latent, *sizes.hidden[::-1])))
        number = len(next(iter(self.arrays.values())))
        kept = "their measurements" if self.config.reference == "voxels" else "their codes q(z|y) alone"
        return [
            *super().about(),
            ("measurements", f"{len(known)}: {known.in_words}"),
            ("network", f"VAE of units {layers}-{sizes.measurements}, decoder with mean and variance"),
            (
                "preparation",
                "each scan divided by its mean in the mask, each measurement by its mean over normal voxels",
            ),
            ("normal voxels kept", f"{number}, {kept}"),
            ("scores", f"{len(self.variants)}; default {self.variants[0]}"),
        ]

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Check that results hold one float32 picture for each slice, under its name."""
        named = all(set(a) == {"value"} for slices in results.values() for a in slices if a)
        return named and super().fits(results, shape)
