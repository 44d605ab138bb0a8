"""Facts for the model card: a description of the detector, and measurements on held-out scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import NamedTuple

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.engine.explorer import Explorer
from napari_vqad.train.data import Stack

Row = tuple[str, str]  # name and value
# Functions for detectors with further facts than `facts_of_maps` gives; imported when they are needed.
OWN: Mapping[str, str] = {"vq": "napari_vqad.train.vq_facts:vq_facts"}


class Facts(NamedTuple):
    """Two tables: a description of the detector, and measurements on scans that it was not trained on."""

    about: list[Row]
    measured: list[Row]


def facts_of(bundle: Bundle, stack: Stack) -> Facts:
    """Collect the facts of a bundle; `stack` contains the held-out slices."""
    module, _, name = OWN.get(bundle.detector.kind, "napari_vqad.train.facts:facts_of_maps").partition(":")
    make: Callable[[Bundle, Stack], Facts] = getattr(import_module(module), name)
    return make(bundle, stack)


def facts_of_maps(bundle: Bundle, stack: Stack) -> Facts:
    """Measure what every detector declares: the mean of its scored map for each variant, or of its slice score."""
    explorer, rows = Explorer(bundle), []
    if explorer.detector.scored is None:
        return Facts(bundle.detector.about(), [_mean_of_slices(explorer, stack)])
    title, unit = explorer.maps[explorer.detector.scored].title.lower(), bundle.unit("intensity")
    for variant in bundle.detector.variants:
        sums, voxels = 0.0, 0
        for grid in stack.grids(bundle.config.grid):
            explorer.load_grid(grid)
            explorer.change(explorer.settings.model_copy(update=dict(bundle.detector.asks_for(variant))))
            explorer.finish(explorer.stages_of(explorer.detector.scored))
            inside = explorer.map(explorer.detector.scored)[grid.mask]
            sums, voxels = sums + float(np.sum(inside, dtype=np.float64)), voxels + inside.size
        rows.append((f"mean {title} within the mask, {variant}", f"{sums / max(voxels, 1):.3f} {unit}"))
    return Facts(bundle.detector.about(), rows)


def _mean_of_slices(explorer: Explorer, stack: Stack) -> Row:
    scores = []
    for grid in stack.grids(explorer.bundle.config.grid):
        explorer.load_grid(grid)
        explorer.finish()
        scores.append(explorer.sample_scores()[explorer.chosen()])
    detector = explorer.detector
    return f"mean {detector.slice_title}", f"{np.concatenate(scores).mean():.2f} {detector.slice_unit}"
