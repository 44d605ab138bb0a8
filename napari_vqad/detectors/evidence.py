"""The maps that a fused score adds to the residual's: linear model and NLL, before they are measured by place."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from napari_vqad.detectors.pca import PASSES, PCA, ROBUST
from napari_vqad.imaging.grid import Grid
from napari_vqad.scores.fusion import LINEAR, NLL, WEIGHTS
from napari_vqad.scores.pooling import pool

# What a calibration of fused scores holds for; it goes into the bundle and must agree with the code that reads it.
MADE_WITH = {"weight of linear": WEIGHTS[LINEAR], "weight of NLL": WEIGHTS[NLL], "Huber SD": ROBUST}


class Evidence:
    """Makes the maps of the other evidence, (n, H, W) each, before they are measured by place."""

    def __init__(self, model: PCA | None) -> None:
        self.model = model

    def linear(self, grid: Grid) -> NDArray[np.float32]:
        """|Y − projection onto the healthy components|, SD, pooled by minimum and average."""
        if self.model is None:
            return np.zeros(grid.slices.shape, np.float32)
        return linear_score(self.model, grid)

    def nll(self, nll: NDArray, mask: NDArray) -> NDArray[np.float32]:
        """NLL of the codes on pixels, nats, averaged within the mask and the slices that have one."""
        present = torch.from_numpy(nll.any((1, 2)))
        return pool(torch.tensor(nll), torch.from_numpy(mask), "smooth", present=present).numpy()


def linear_score(model: PCA, grid: Grid, pooling: str = "3d", passes: int = PASSES) -> NDArray[np.float32]:
    """|Y − projection onto the healthy components| within the mask, pooled; (n, H, W), SD.

    With one of the `passes` it is the least-squares projection.
    """
    residual = np.abs(grid.slices - model.reconstruct(grid.slices, passes)).astype(np.float32)
    return pool(torch.from_numpy(residual), torch.from_numpy(grid.mask), pooling).numpy()
