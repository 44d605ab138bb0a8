"""The grid of slices that a model was trained on, as stored in its config.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import ConfigDict

from napari_vqad.imaging.measurements import GradientTable

Kind = Literal["head", "clip"]


@dataclass(frozen=True)
class GridSpec:
    """The grid a model was trained on.

    Attributes:
        shape: in-plane size of a slice, in the order of the two in-plane canonical axes.
        spacing: isotropic voxel size in mm; in pixels for clips.
        background: value outside the mask, in SD; close to CSF, so that the edge of the brain is not a sharp step.
        clip: lowest and highest z-score given to the model; values beyond are clipped.
        aligned: scans are aligned to the bundle's template and use its grid.
        grey: mean and SD of the grey values of healthy frames, if the model is for clips. None if it is for heads; each
            head is z-scored with its own mean and SD, or harmonised.
        measurements: of a model of single voxels of diffusion scans, the measurements that it knows. Its grid is the
            scan's own voxels, so `shape` and `spacing` are not used.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    shape: tuple[int, int] = (80, 104)
    spacing: float = 2.0
    background: float = -2.0
    clip: tuple[float, float] = (-3.0, 4.0)
    aligned: bool = False
    grey: tuple[float, float] | None = None
    measurements: GradientTable | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: a value is out of range.
        """
        if not all(1 <= n <= 2048 for n in self.shape):
            raise ValueError("the sides of a slice are 1 to 2048 pixels")
        if not 0.05 <= self.spacing <= 50:
            raise ValueError("the spacing is 0.05 to 50 mm")
        if not (np.isfinite([self.background, *self.clip]).all() and self.clip[0] < self.clip[1]):
            raise ValueError("background and clip are finite numbers, and clip rises")
        if self.grey is not None and not np.isfinite(self.grey).all():
            raise ValueError("grey values are finite numbers")
        if self.grey is not None and (self.aligned or not self.grey[1] > 0):
            raise ValueError("the grey values of a model of clips have an SD above zero, and no template")
        if self.measurements is not None and (self.aligned or self.grey is not None):
            raise ValueError("a model of diffusion measurements has no template and is not for clips")

    @property
    def voxel_ml(self) -> float:
        """The volume of a voxel of a head's grid, mL."""
        return self.spacing**3 / 1000

    @property
    def kind(self) -> Kind:
        """The kind of scan that the model was trained on."""
        return "head" if self.grey is None else "clip"
