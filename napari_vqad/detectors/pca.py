"""The linear baseline: a slice is what 60 principal components of healthy slices can say of it; the rest is anomalous.

No position, no codes, no prior. A detector that does not beat it does not earn its complexity (Meissen et al. 2022
make the same point with intensity thresholds).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from napari_vqad.scores.pool import pool
from napari_vqad.volume import Grid


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

    def reconstruct(self, slices: np.ndarray) -> np.ndarray:
        """The projection of slices (n, H, W) onto mean and components."""
        flat = slices.reshape(len(slices), -1) - self.mean
        return (flat @ self.components.T @ self.components + self.mean).reshape(slices.shape)

    def pixel_score(self, grid: Grid, pooling: str = "3d") -> np.ndarray:
        """|Y − projection| within the mask, pooled; (n, H, W), SD."""
        residual = np.abs(grid.slices - self.reconstruct(grid.slices)).astype(np.float32)
        return pool(torch.from_numpy(residual), torch.from_numpy(grid.mask), pooling).numpy()
