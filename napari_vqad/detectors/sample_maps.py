"""The maps of every detector that draws S pictures of a slice: restorations, or draws of an autoencoder.

    difference_j = Y − X_j                              (the results of the stage)
    d_j = distance of sample j from the slice           w_j = softmax_j(k / d_j)
    residual = Σ_j w_j |Y − X_j|                        restoration = Y − Σ_j w_j (Y − X_j)
    minima = Σ_j minimum(w_j |Y − X_j|)                 what the pooling "2d-each" averages

The equations are in `scores.weighting` and `scores.pooling`; the settings are in `detectors.sampling`.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vqad.detectors.protocol import MapSpec, SliceData
from napari_vqad.scores import pooling, weighting

POOLED = {"2d-each": "minima"}  # see `Detector.pooled`


def sample_maps(stage: str) -> tuple[MapSpec, ...]:
    """Declare the maps of the samples; `stage` is the stage whose results hold "difference"."""
    return (
        MapSpec(
            "distances",
            "Distances of the restorations",
            "SD",
            "inner",
            stage,
            ("distance", "paper_faithful"),
            all_samples=True,
        ),
        MapSpec("weights", "Weights of the restorations", "", "inner", stage, ("k", "paper_faithful"), ("distances",)),
        MapSpec("restoration", "Restoration (mean of S)", "SD", "restoration", stage, reads=("weights",)),
        MapSpec("restoration_j", "Restoration", "SD", "restoration", stage, indexed=True),
        MapSpec("disagreement", "Disagreement", "SD", "spread", stage),
        MapSpec("residual", "Residual", "SD", "residual", stage, reads=("weights",)),
        MapSpec("minima", "Sum of the minima", "SD", "inner", stage, ("paper_faithful",), reads=("weights",)),
    )


class SampleMaps:
    """Computes the maps of `sample_maps`; it keeps only a piece of memory, which it reuses."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._memory = threading.local()  # several explorers may share a detector, each in its own thread

    def __call__(self, name: str, data: SliceData) -> NDArray:
        """Compute one slice of a map, (H, W); of "distances" and "weights", (S,)."""
        difference, s = data.stages[self._stage]["difference"], data.settings
        if name == "distances":
            inside = torch.from_numpy(data.mask)[None]
            return weighting.distance(self._residuals(difference), inside, s.distance, s.paper_faithful)[0].numpy()
        if name == "weights":
            distances = torch.from_numpy(data.maps["distances"][: len(difference)])[None]
            return weighting.weights(distances, s.k, s.paper_faithful)[0].numpy()
        if name == "restoration_j":
            return data.scan - difference[data.j]
        if name == "disagreement":
            return weighting.disagreement(torch.from_numpy(difference)[None].float())[0].numpy() * data.mask
        w = torch.from_numpy(data.maps["weights"])[None]
        if name == "restoration":
            return data.scan - weighting.consolidate(w, torch.from_numpy(difference)[None].float())[0].numpy()
        if name == "residual":
            return weighting.consolidate(w, self._residuals(difference))[0].numpy() * data.mask
        if name == "minima":
            mask = torch.from_numpy(data.mask)
            return pooling.sum_of_minima(w[0], self._residuals(difference)[0], mask, s.paper_faithful).numpy()
        raise KeyError(name)

    def _residuals(self, difference: NDArray) -> Tensor:
        """Compute R_j (1, S, H, W). All slices use the same memory, which stays in the processor's cache."""
        memory = getattr(self._memory, "scratch", None)
        if memory is None or memory.numel() < difference.size:
            memory = self._memory.scratch = torch.empty(difference.size)
        scratch = memory[: difference.size].view(1, *difference.shape)
        return weighting.residual(scratch.copy_(torch.from_numpy(np.ascontiguousarray(difference))[None]))
