"""The maps of the vector-quantised detector, computed for each slice from codes, NLL and restorations.

    difference_j = Y − X_j                              (from the decoder)
    d_j = distance of restoration j from the slice      w_j = softmax_j(k / d_j)
    residual = Σ_j w_j |Y − X_j|                        restoration = Y − Σ_j w_j (Y − X_j)

See `scores.weighting` and `detectors.vq.likelihood` for the equations.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_vqad.detectors.protocol import MapSpec, SliceData
from napari_vqad.detectors.vq.likelihood import on_pixels
from napari_vqad.nets.vq.levels import CodeLevels
from napari_vqad.scores import weighting

MAPS = (
    MapSpec("nll", "NLL", "nats", "evidence", "nll", ("level",)),
    MapSpec("nll_all", "NLL of all levels", "nats", "inner", "nll"),
    MapSpec(
        "distances",
        "Distances of the restorations",
        "SD",
        "inner",
        "decode",
        ("distance", "paper_faithful"),
        all_samples=True,
    ),
    MapSpec("weights", "Weights of the restorations", "", "inner", "decode", ("k", "paper_faithful"), ("distances",)),
    MapSpec("restoration", "Restoration (mean of S)", "SD", "restoration", "decode", reads=("weights",)),
    MapSpec("restoration_j", "Restoration", "SD", "restoration", "decode", indexed=True),
    MapSpec("disagreement", "Disagreement", "SD", "spread", "decode"),
    MapSpec("residual", "Residual", "SD", "residual", "decode", reads=("weights",)),
)


class SliceMaps:
    """Computes `MAPS`. It stores no results, only a buffer that it reuses."""

    def __init__(self, levels: CodeLevels) -> None:
        self._levels = levels
        self._memory = threading.local()  # explorers in other threads may share this detector

    def __call__(self, name: str, data: SliceData) -> NDArray:
        """Compute one slice of a map, (H, W); "distances" and "weights" are (S,)."""
        if name in ("nll", "nll_all"):
            nll = torch.from_numpy(data.stages["nll"]["nll"])  # (1, h, w): its single sample is a batch of one slice
            level = data.settings.level if name == "nll" else "all"
            return on_pixels(nll, self._levels, data.scan.shape, level)[0].numpy() * data.mask
        difference, s = data.stages["decode"]["difference"], data.settings
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
        raise KeyError(name)

    def _residuals(self, difference: NDArray) -> Tensor:
        """Compute R_j (1, S, H, W) in a buffer that all slices reuse, so that it stays in the processor's cache."""
        memory = getattr(self._memory, "scratch", None)
        if memory is None or memory.numel() < difference.size:
            memory = self._memory.scratch = torch.empty(difference.size)
        scratch = memory[: difference.size].view(1, *difference.shape)
        return weighting.residual(scratch.copy_(torch.from_numpy(np.ascontiguousarray(difference))[None]))
