"""Reports which slices of a running or stopped analysis are not final."""

from __future__ import annotations

import numpy as np

from napari_vqad.engine.dependencies import evidence_maps
from napari_vqad.engine.explorer import Explorer


def missing_slices(explorer: Explorer) -> np.ndarray:
    """Return the indices of the chosen slices whose evidence or pixel score is not final yet."""
    final = explorer.ready("pixel_score")
    for spec in evidence_maps(explorer.maps):
        final = final & explorer.ready(spec.name)
    return np.flatnonzero(explorer.chosen() & ~final)


def incomplete(explorer: Explorer) -> str:
    """Return a sentence on the missing slices; empty if the analysis is complete."""
    missing = missing_slices(explorer)
    if not len(missing):
        return ""
    what = "slices have" if explorer.grid.kind == "head" else "frames have"
    words = f"Not complete: {len(missing)} of {explorer.n_slices} {what} no final score; all numbers are preliminary."
    scored = explorer.detector.scored
    pooled = 0 if scored is None else int(explorer.ready(scored)[missing].sum())
    return f"{words} {pooled} of them only wait for their neighbours." if pooled else words
