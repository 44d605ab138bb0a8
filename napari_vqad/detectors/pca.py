"""The linear detector: distance of a slice from its projection onto 60 principal components of healthy slices.

    restoration = mean + components · coefficients          residual = |Y − restoration|

It uses no position, no codes and no prior. A more complex detector must be better than this one to be worth its
complexity (Meissen et al. 2021 argue the same with intensity thresholds). The model also gives evidence for a fused
score (`scores.fusion`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import save

from napari_vqad.detectors.base import BaseDetector, BundleConfig
from napari_vqad.detectors.picture_maps import picture_map, picture_maps
from napari_vqad.detectors.protocol import Arrays, Family, HealthySlices, Job, MapSpec, SliceData, Stage
from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.shared import has_file, read_file
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.files.tensors import parse_tensors
from napari_vqad.scores.pooling import pool

FILE = "linear.safetensors"
# Smaller values were better on validation subjects: voxel AP 0.34 with least squares, 0.38 with 0.7 SD, 0.42 with
# 0.35 SD, 0.44 with 0.15 SD. More passes do not change the result.
ROBUST = 0.15  # SD
PASSES = 40


@dataclass(frozen=True)
class PCA:
    """Mean (H·W,) and principal components (C, H·W) of healthy slices, in SD of healthy intensity."""

    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, slices: np.ndarray, n_components: int = 60, seed: int = 0) -> PCA:
        """Fit the model to healthy slices (N, H, W) by randomised SVD."""
        flat = torch.from_numpy(slices.reshape(len(slices), -1)).float()
        mean = flat.mean(0)
        torch.manual_seed(seed)
        _, _, v = torch.svd_lowrank(flat - mean, q=n_components + 10, niter=4)
        return cls(mean.numpy(), v[:, :n_components].T.numpy().copy())

    def save(self, folder: Path, name: str = FILE) -> None:
        """Write the model into the folder of a bundle, in half precision."""
        parts = {"mean": self.mean, "components": self.components}
        (folder / name).write_bytes(save({k: v.astype(np.float16) for k, v in parts.items()}))

    @classmethod
    def load(cls, folder: Path, shape: tuple[int, int]) -> PCA | None:
        """Read the linear model of a bundle, for slices of `shape`; None if the bundle has none.

        Raises:
            InputError: see `parse`.
        """
        path = folder / FILE
        return cls.parse(read_file(folder, FILE, limits.TABLES), path, shape) if has_file(folder, FILE) else None

    @classmethod
    def parse(cls, raw: bytes, path: Path, shape: tuple[int, int]) -> PCA:
        """Parse the bytes of a file; `path` is named in error messages.

        Raises:
            InputError: the file is damaged, or the model is of slices of another size.
        """
        broken = InputError(f"{path} is not a linear model.")
        try:
            parts = parse_tensors(raw, path)
            mean, components = parts["mean"], parts["components"]
        except KeyError as error:
            raise broken from error
        except InputError as error:
            raise InputError(f"{path} is not a linear model: {str(error).removeprefix(f'{path} ')}") from error
        if mean.dtype.kind != "f" or components.dtype.kind != "f" or components.ndim != 2:
            raise broken
        if mean.shape != (shape[0] * shape[1],) or components.shape[1:] != mean.shape:
            raise InputError(f"{path} is a linear model of slices of another size than {shape[0]}×{shape[1]}.")
        return cls(mean.astype(np.float32), components.astype(np.float32))

    def reconstruct(self, slices: np.ndarray, passes: int = PASSES) -> np.ndarray:
        """Project slices (n, H, W) onto the components in a robust way, so that lesions have little influence.

            argmin_p Σ_i h(Y_i − p_i),  h the Huber loss: r²/2 up to `ROBUST`, linear beyond

        The projection is repeated with residuals clipped to ±ROBUST. A single pass is the least-squares projection. It
        fits a strong lesion in part with symmetric components, which adds a false residual on the other side.
        """
        flat = slices.reshape(len(slices), -1) - self.mean
        found = shown = flat
        for _ in range(passes):
            found = shown @ self.components.T @ self.components
            shown = found + np.clip(flat - found, -ROBUST, ROBUST)
        return (found + self.mean).reshape(slices.shape)


def linear_score(
    model: PCA, slices: NDArray, mask: NDArray, pooling: str = "3d", passes: int = PASSES
) -> NDArray[np.float32]:
    """Compute |Y − projection onto the components|, pooled within the mask; (n, H, W), SD.

    With `passes` = 1 the projection is that of least squares.
    """
    residual = np.abs(slices - model.reconstruct(slices, passes)).astype(np.float32)
    return pool(torch.from_numpy(residual), torch.from_numpy(mask), pooling).numpy()


class PCAConfig(BundleConfig):
    """`config.json` of a bundle with the linear detector."""

    detector: Literal["pca"] = "pca"
    n_components: int = Field(60, ge=1, le=1000)


class PCADetector(BaseDetector):
    """Distance of a slice from its projection onto the principal components of healthy slices."""

    kind: ClassVar[str] = "pca"
    family: ClassVar[Family] = "classical"
    files: ClassVar[tuple[str, ...]] = ("pca.safetensors",)
    Config: ClassVar[type[Any]] = PCAConfig
    stages: ClassVar[tuple[Stage, ...]] = (Stage("project", "Projections", at_once=16),)
    maps: ClassVar[tuple[MapSpec, ...]] = picture_maps("project", "Projection")

    def __init__(self, model: PCA) -> None:
        self.model = model

    @classmethod
    def load(cls, config: PCAConfig, files: Snapshot) -> Self:
        """Read the model of a bundle.

        Raises:
            InputError: see `PCA.parse`.
        """
        (name,) = cls.files
        return cls(PCA.parse(files.read(name, limits.TABLES, True), files.folder / name, config.grid.shape))

    @classmethod
    def fit(cls, config: PCAConfig, healthy: HealthySlices) -> Self:
        """Fit the model to the training slices."""
        return cls(PCA.fit(healthy.slices, config.n_components))

    def save(self, folder: Path) -> None:
        """Write mean and components in half precision."""
        self.model.save(folder, *self.files)

    def about(self) -> list[tuple[str, str]]:
        """Return the rows of the model card, with the number of components."""
        return [*super().about(), ("components", f"{len(self.model.components)}, projected in Huber's sense")]

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """Compute the projection of each slice, (1, H, W), SD."""
        return [{"projection": p[None]} for p in self.model.reconstruct(job.slices).astype(np.float32)]

    def map(self, name: str, data: SliceData) -> NDArray:
        """Return the projection, or the distance of the slice from it, (H, W)."""
        return picture_map(name, data.stages["project"]["projection"][0], data)
