"""The linear detector: a slice is projected onto 60 principal components of healthy slices; the rest is anomalous.

    restoration = mean + components · coefficients          residual = |Y − restoration|

No position, no codes, no prior. A detector that does not beat it does not earn its complexity (Meissen et al. 2021
make the same point with intensity thresholds). The same model is also evidence of a fused score (`scores.fusion`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from safetensors.numpy import save

from napari_vqad.detectors.base import BaseDetector, BundleConfig
from napari_vqad.detectors.protocol import Arrays, Job, MapSpec, SliceData, Stage
from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.files.shared import has_file, read_file
from napari_vqad.files.snapshot import Snapshot
from napari_vqad.files.tensors import parse_tensors
from napari_vqad.scores.pooling import pool

FILE = "linear.safetensors"
# Tried on validation subjects, each smaller value was better than the one before: voxel AP 0.34 by least squares,
# 0.38 at 0.7 SD, 0.42 at 0.35, 0.44 at 0.15. More passes change nothing.
ROBUST = 0.15  # SD
PASSES = 40


@dataclass(frozen=True)
class PCA:
    """Mean (H·W,) and components (C, H·W) of healthy slices in SD."""

    mean: np.ndarray
    components: np.ndarray

    @classmethod
    def fit(cls, slices: np.ndarray, n_components: int = 60, seed: int = 0) -> PCA:
        """Fit on healthy slices (N, H, W) by randomised SVD."""
        flat = torch.from_numpy(slices.reshape(len(slices), -1)).float()
        mean = flat.mean(0)
        torch.manual_seed(seed)
        _, _, v = torch.svd_lowrank(flat - mean, q=n_components + 10, niter=4)
        return cls(mean.numpy(), v[:, :n_components].T.numpy().copy())

    def save(self, folder: Path, name: str = FILE) -> None:
        """Write into a bundle, half precision."""
        parts = {"mean": self.mean, "components": self.components}
        (folder / name).write_bytes(save({k: v.astype(np.float16) for k, v in parts.items()}))

    @classmethod
    def load(cls, folder: Path, shape: tuple[int, int]) -> PCA | None:
        """Read a bundle's linear model of slices of `shape`; None where there is no such file.

        Raises:
            InputError: as `parse`.
        """
        path = folder / FILE
        return cls.parse(read_file(folder, FILE, limits.TABLES), path, shape) if has_file(folder, FILE) else None

    @classmethod
    def parse(cls, raw: bytes, path: Path, shape: tuple[int, int]) -> PCA:
        """What the bytes of such a file say; `path` names it in the sentence.

        Raises:
            InputError: it is broken, or of other slices.
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
        """What mean and components can say of slices (n, H, W), a lesion left out of account.

            argmin_p Σ_i h(Y_i − p_i),  h the Huber loss: r²/2 up to `ROBUST`, linear beyond

        by projecting again and again, what exceeds ROBUST clipped. Least squares, one pass, would explain a strong
        lesion in part by components that are symmetric, and leave its twin as a residual on the other side.
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
    """|Y − projection onto the healthy components| within the mask, pooled; (n, H, W), SD.

    With one of the `passes` it is the least-squares projection.
    """
    residual = np.abs(slices - model.reconstruct(slices, passes)).astype(np.float32)
    return pool(torch.from_numpy(residual), torch.from_numpy(mask), pooling).numpy()


class PCAConfig(BundleConfig):
    """`config.json` of a bundle with this detector."""

    detector: Literal["pca"] = "pca"
    n_components: int = Field(60, ge=1, le=1000)


class PCADetector(BaseDetector):
    """Distance of a slice from its projection onto the principal components of healthy slices."""

    kind: ClassVar[str] = "pca"
    files: ClassVar[tuple[str, ...]] = ("pca.safetensors",)
    Config: ClassVar[type[Any]] = PCAConfig
    stages: ClassVar[tuple[Stage, ...]] = (Stage("project", "Projections", at_once=16),)
    maps: ClassVar[tuple[MapSpec, ...]] = (
        MapSpec("restoration", "Projection", "SD", "restoration", "project"),
        MapSpec("residual", "Residual", "SD", "residual", "project"),
    )

    def __init__(self, model: PCA) -> None:
        self.model = model

    @classmethod
    def load(cls, config: PCAConfig, files: Snapshot) -> Self:
        """The model of a bundle.

        Raises:
            InputError: as `PCA.parse`.
        """
        (name,) = cls.files
        return cls(PCA.parse(files.read(name, limits.TABLES, True), files.folder / name, config.grid.shape))

    @classmethod
    def fit(cls, config: PCAConfig, slices: Callable[[], NDArray]) -> Self:
        """The components of the training slices."""
        return cls(PCA.fit(slices(), config.n_components))

    def save(self, folder: Path) -> None:
        """Write mean and components, half precision."""
        self.model.save(folder, *self.files)

    def about(self) -> list[tuple[str, str]]:
        """How many components."""
        return [*super().about(), ("components", f"{len(self.model.components)}, projected in Huber's sense")]

    def run(self, stage: str, job: Job) -> list[Arrays]:
        """The projection of each slice, (1, H, W), SD."""
        return [{"projection": p[None]} for p in self.model.reconstruct(job.slices).astype(np.float32)]

    def map(self, name: str, data: SliceData) -> NDArray:
        """The projection, or how far the slice is from it."""
        projection = data.stages["project"]["projection"][0]
        return projection if name == "restoration" else np.abs(data.scan - projection) * data.mask
