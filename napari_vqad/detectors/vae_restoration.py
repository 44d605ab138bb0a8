"""Gradient restoration: gradient descent makes a slice more likely under a VAE (You et al. 2019; Chen et al. 2020).

    X ← X − α · ∇_X [ −ELBO(X) + w · D(X − Y) ]          residual = |Y − X|

D is total variation or L1 (`nets.gradient_restoration`). The network is that of a `vae` bundle. More steps continue the
stored restoration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.autoencoder import NetworkConfig, NetworkDetector
from napari_vqad.detectors.descent_settings import RestorationSettings
from napari_vqad.detectors.gradient_steps import AT_ONCE, batches
from napari_vqad.detectors.picture_maps import picture_map, picture_maps
from napari_vqad.detectors.protocol import Arrays, Family, Job, MapSpec, SliceData, Stage
from napari_vqad.nets.device import exact, times_of_cpu
from napari_vqad.nets.gradient_restoration import descend
from napari_vqad.settings import SharedSettings


class VAERestorationConfig(NetworkConfig):
    """`config.json` of a bundle with this detector."""

    detector: Literal["vae-restoration"] = "vae-restoration"


class VAERestorationDetector(NetworkDetector):
    """Distance of a slice from its restoration by gradient descent in pixel space, under a VAE as prior."""

    kind: ClassVar[str] = "vae-restoration"
    family: ClassVar[Family] = "autoencoder"
    network_of: ClassVar[str] = "vae"
    variational: ClassVar[bool] = True
    Settings: ClassVar[type[SharedSettings]] = RestorationSettings
    Config: ClassVar[type[Any]] = VAERestorationConfig
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage(
            "descend",
            "Restorations",
            settings=("descent_steps", "descent_rate", "data_weight", "data_term"),
            at_once=AT_ONCE,
            focus_alone=True,
        ),
    )
    maps: ClassVar[tuple[MapSpec, ...]] = picture_maps("descend", "Restoration")

    @property
    def loss_title(self) -> str | None:
        """Return the name of the loss that the network was trained with."""
        return "VAE loss"

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Restore each slice: {"restored"}, X, (1, H, W), SD."""
        begun = [self._begin(job, row) for row in range(len(job.indices))]
        found: list[Arrays] = [{} for _ in begun]
        for done in sorted({done for _, done in begun}):  # those with as many steps are continued together
            rows = [row for row, (_, steps) in enumerate(begun) if steps == done]
            for part in batches(rows, job.slices[0].size, times_of_cpu(self.device)):
                restored = self._descend(job, part, np.stack([begun[row][0] for row in part]), done)
                for row, x in zip(part, restored, strict=True):
                    found[row] = {"restored": x}
        return found

    def _begin(self, job: Job, row: int) -> tuple[NDArray, int]:
        """Return where the descent begins, and its steps so far: the longest shorter one that is stored, or Y."""
        steps = job.settings.descent_steps
        stored = [(n, a["restored"][0]) for n, a in job.near(row, "descent_steps") if n < steps and "restored" in a]
        done, restored = max(stored, key=lambda pair: pair[0], default=(0, job.slices[row]))
        return restored, int(done)

    def _descend(self, job: Job, rows: Sequence[int], restored: NDArray, done: int) -> NDArray[np.float32]:
        s, steps = job.settings, job.settings.descent_steps - done
        x, y = (self._tensor(array)[:, None] for array in (restored, job.slices[rows]))
        position = self._tensor(job.position[rows])
        with torch.inference_mode(False), torch.no_grad(), exact(self.device):
            x = descend(
                self.network, x, y, position, steps, s.descent_rate, s.data_weight, s.data_term, check=job.check
            )
        return x.cpu().numpy()

    def map(self, name: str, data: SliceData) -> NDArray:
        """Compute one slice of a map: the restoration, or its distance from the scan."""
        return picture_map(name, data.stages["descend"]["restored"][0], data)

    def in_words(self, settings: RestorationSettings, thresholds: Mapping[str, float]) -> str:
        """Describe the descent in a few words."""
        return f"{self.kind}, {settings.descent_steps} steps, w = {settings.data_weight:g}"
