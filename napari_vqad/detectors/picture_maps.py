"""The maps of every detector that gives one picture X of a slice Y: a reconstruction, a restoration or a projection.

restoration = X          residual = |Y − X| within the mask
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_vqad.detectors.protocol import MapSpec, SliceData


def picture_maps(stage: str, title: str) -> tuple[MapSpec, ...]:
    """Declare the two maps; `stage` gives the picture, and `title` is its name."""
    return (
        MapSpec("restoration", title, "SD", "restoration", stage),
        MapSpec("residual", "Residual", "SD", "residual", stage),
    )


def picture_map(name: str, picture: NDArray, data: SliceData) -> NDArray:
    """Compute one slice of a map of `picture_maps`, (H, W), SD, from the picture (H, W)."""
    return picture if name == "restoration" else np.abs(data.scan - picture) * data.mask
