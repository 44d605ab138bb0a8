"""The simplest detector: the rank of a voxel's intensity within its slice (Meissen et al. 2021).

    u = share of the slice's brain voxels that are as dark or darker      (histogram equalisation within the brain)
    residual = u for bright lesions, 1 − u for dark lesions

It has no network and needs no training. A detector that is not better has learnt nothing beyond intensity.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from napari_vqad.detectors.base import BaseDetector, BundleConfig
from napari_vqad.detectors.protocol import Arrays, Family, HealthySlices, Job, MapSpec, SliceData, Stage
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.settings import SharedSettings

Lesions = Literal["bright", "dark"]
BINS = 1024  # enough for the about 5,000 brain voxels of a slice


class HistogramSettings(SharedSettings):
    """Settings of the histogram detector."""

    lesions: Lesions = Field(
        default="dark",
        title="Lesions are",
        description="Which voxels score high: those brighter than most of their slice, as lesions in FLAIR, or those "
        "darker, as most lesions in T1.",
        json_schema_extra={"section": "Restoration"},
    )


class HistogramConfig(BundleConfig):
    """`config.json` of a bundle with the histogram detector."""

    detector: Literal["histogram"] = "histogram"


class HistogramDetector(BaseDetector):
    """Intensity after histogram equalisation of each slice within the brain, or one minus it."""

    kind: ClassVar[str] = "histogram"
    family: ClassVar[Family] = "classical"
    Settings: ClassVar[type[SharedSettings]] = HistogramSettings
    Config: ClassVar[type[Any]] = HistogramConfig
    stages: ClassVar[tuple[Stage, ...]] = (Stage("equalise", "Histograms", at_once=16),)
    maps: ClassVar[tuple[MapSpec, ...]] = (
        MapSpec("residual", "Abnormal intensity", "share", "residual", "equalise", ("lesions",)),
    )

    @classmethod
    def load(cls, config: Any, files: Snapshot) -> Self:
        """Return a detector; there are no files to read."""
        return cls()

    @classmethod
    def fit(cls, config: Any, healthy: HealthySlices) -> Self:
        """Return a detector; there is nothing to fit."""
        return cls()

    def save(self, folder: Path) -> None:
        """Do nothing; there are no files to write."""

    @property
    def variants(self) -> tuple[str, ...]:
        """One variant for dark and one for bright lesions."""
        return ("dark", "bright")

    def variant(self, settings: Any) -> str:
        """Return "dark" or "bright"."""
        return settings.lesions

    def asks_for(self, variant: str) -> Mapping[str, Any]:
        """Return the setting that selects a variant."""
        return {"lesions": variant}

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Compute u of each slice, (1, H, W)."""
        return [
            {"u": equalised(scan, mask).astype(np.float32)[None]}
            for scan, mask in zip(job.slices, job.mask, strict=True)
        ]

    def map(self, name: str, data: SliceData) -> NDArray:
        """Return u for bright lesions, 1 − u within the mask for dark lesions."""
        u = data.stages["equalise"]["u"][0]
        return (1 - u) * data.mask if data.settings.lesions == "dark" else u


def equalised(scan: NDArray, mask: NDArray) -> NDArray:
    """Compute u (H, W): the share of the voxels of the mask that are as dark or darker, 0 to 1; 0 outside the mask.

    Args:
        scan: (H, W).
        mask: bool (H, W); if it is empty, u is 0 everywhere.
    """
    if not mask.any():
        return np.zeros(scan.shape, np.float32)
    from skimage.exposure import equalize_hist

    inside = scan[mask]
    return np.where(mask, equalize_hist(np.clip(scan, inside.min(), inside.max()), BINS, mask=mask), 0)
