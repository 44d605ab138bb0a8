"""What most detectors answer in the same way; a detector overrides what it knows better."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_vqad.detectors.protocol import Arrays, Stage, ThresholdSpec, Unfolding
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.settings import SharedSettings


class BundleConfig(BaseModel):
    """`config.json`: which detector, its grid and preprocessing, and what the user reads in the list of models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    title: str = Field(max_length=200)
    description: str = Field(max_length=10_000)
    grid: GridSpec = GridSpec()


class BaseDetector:
    """A detector without thresholds of its own, with one sample a slice and one table of healthy residuals."""

    files: ClassVar[tuple[str, ...]] = ()
    Settings: ClassVar[type[SharedSettings]] = SharedSettings
    Config: ClassVar[type[Any]] = BundleConfig
    thresholds: ClassVar[tuple[ThresholdSpec, ...]] = ()
    stages: ClassVar[tuple[Stage, ...]]
    scored: ClassVar[str] = "residual"
    fused: ClassVar[Mapping[str, str]] = {}
    slice_title: ClassVar[str | None] = None
    slice_unit: ClassVar[str | None] = None
    kind: ClassVar[str]

    def to(self, device: Any) -> Self:
        """The same: there is no network."""
        return self

    @property
    def variants(self) -> tuple[str, ...]:
        """One, named after the detector."""
        return (self.kind,)

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """Every setting is free."""
        return {}

    def variant(self, settings: Any) -> str:
        """The only one."""
        return self.variants[0]

    def asks_for(self, variant: str) -> Mapping[str, Any]:
        """No setting asks for the only one."""
        return {}

    @classmethod
    def inactive(cls, settings: Any) -> frozenset[str]:
        """AS_sample is unknown here, and so is its choice."""
        return frozenset({"slice_score"} if cls.slice_title is None else ())

    def same(self, stage: str, done: Mapping[str, Arrays], before: Any, now: Any) -> bool:
        """Unknown: another setting of a stage counts as another result."""
        return False

    def healthy(self, name: str, settings: Any) -> tuple[str, str] | None:
        """Residuals have a table for each variant."""
        return ("residual", self.variant(settings)) if name == self.scored else None

    def slice_score(self, results: Arrays, settings: Any) -> NDArray | None:
        """None: slices are scored by their voxels."""
        return None

    @property
    def loss_title(self) -> str | None:
        """None: no network was trained with a loss of each slice."""
        return None

    def loss(self, slices: NDArray, position: NDArray) -> NDArray:
        """Without a loss there is nothing to compute."""
        raise NotImplementedError(f"{self.kind} has no loss of a slice")

    def in_words(self, settings: Any, thresholds: Mapping[str, float]) -> str:
        """The variant."""
        return self.variant(settings)

    def unfold(self, slice_: NDArray, position: float, done: Mapping[str, Arrays], settings: Any) -> Unfolding | None:
        """None: no codes are restored."""
        return None

    def slice_words(self, settings: Any) -> str:
        """There is no score to explain."""
        return ""

    def about(self) -> list[tuple[str, str]]:
        """The first sentence of the class."""
        return [("detector", (type(self).__doc__ or "").partition("\n")[0])]

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Are they pictures, one sample of each slice?"""
        names = {stage.name for stage in self.stages}
        arrays = [array for slices in results.values() for of_slice in slices for array in of_slice.values()]
        return set(results) == names and all(a.shape == (1, *shape) and a.dtype == np.float32 for a in arrays)

    def check(self, calibration: Any) -> str | None:
        """No table of its own can be missing."""
        return None

    def fit_tables(self, results: Sequence[Arrays], masks: Sequence[NDArray]) -> dict[str, Any]:
        """No table of its own."""
        return {}
