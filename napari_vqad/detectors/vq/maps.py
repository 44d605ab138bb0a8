"""The maps of the vector-quantised detector, slice by slice: the NLL of each pixel's code, and those of its samples.

The equations are in `detectors.vq.likelihood` and `detectors.sample_maps`.
"""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from napari_vqad.detectors.protocol import MapSpec, SliceData
from napari_vqad.detectors.sample_maps import SampleMaps, sample_maps
from napari_vqad.detectors.vq.likelihood import on_pixels
from napari_vqad.nets.vq.levels import CodeLevels

MAPS = (
    MapSpec("nll", "NLL", "nats", "evidence", "nll", ("level",)),
    MapSpec("nll_all", "NLL of all levels", "nats", "inner", "nll"),
    *sample_maps("decode"),
)


class SliceMaps:
    """Computes `MAPS`."""

    def __init__(self, levels: CodeLevels) -> None:
        self._levels = levels
        self._of_samples = SampleMaps("decode")

    def __call__(self, name: str, data: SliceData) -> NDArray:
        """Compute one slice of a map, (H, W); "distances" and "weights" are (S,)."""
        if name in ("nll", "nll_all"):
            nll = torch.from_numpy(data.stages["nll"]["nll"])  # (1, h, w): its single sample is a batch of one slice
            level = data.settings.level if name == "nll" else "all"
            return on_pixels(nll, self._levels, data.scan.shape, level)[0].numpy() * data.mask
        return self._of_samples(name, data)
