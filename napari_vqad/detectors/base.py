"""Default methods of a detector. A detector overrides those that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from napari_vqad.detectors.calibration import quantiles
from napari_vqad.detectors.protocol import Arrays, Detector, Family, Stage, ThresholdSpec, Unfolding
from napari_vqad.errors import InputError
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.settings import OF_SAMPLES, Pooling, SharedSettings


class BundleConfig(BaseModel):
    """`config.json` of a bundle: detector, grid, and the texts that the list of models shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    title: str = Field(max_length=200)
    description: str = Field(max_length=10_000)
    grid: GridSpec = GridSpec()

    def save(self, folder: Path) -> None:
        """Write config.json into the folder of a bundle."""
        (folder / "config.json").write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


# Settings of pixel score, flagged voxels and findings.
OF_VOXELS = frozenset({"flag_voxels", "min_volume_ml", "median", "erode_mm", "score", "pooling", "paper_faithful"})


def poolings_of(detector: Detector | type[Detector]) -> tuple[str, ...]:
    """List the poolings that a detector can have; a sum over restorations needs a detector that draws several."""
    return tuple(p for p in get_args(Pooling) if p not in OF_SAMPLES or p in detector.pooled)


class BaseDetector:
    """A detector without own thresholds, with one sample per slice and one table of healthy residuals."""

    files: ClassVar[tuple[str, ...]] = ()
    Settings: ClassVar[type[SharedSettings]] = SharedSettings
    Config: ClassVar[type[Any]] = BundleConfig
    thresholds: ClassVar[tuple[ThresholdSpec, ...]] = ()
    stages: ClassVar[tuple[Stage, ...]]
    scored: ClassVar[str | None] = "residual"
    pooled: ClassVar[Mapping[str, str]] = {}
    fused: ClassVar[Mapping[str, str]] = {}
    slice_title: ClassVar[str | None] = None
    slice_unit: ClassVar[str | None] = None
    slice_threshold: ClassVar[str | None] = None
    tables: ClassVar[tuple[str, ...]] = ()
    kind: ClassVar[str]
    family: ClassVar[Family]

    def to(self, device: Any) -> Self:
        """Return the same detector, because there is no network to move."""
        return self

    @property
    def variants(self) -> tuple[str, ...]:
        """A single variant, named after the detector."""
        return (self.kind,)

    @property
    def choices(self) -> Mapping[str, tuple[str, ...]]:
        """Empty, because all values of all settings are allowed."""
        return {}

    def variant(self, settings: Any) -> str:
        """Return the single variant."""
        return self.variants[0]

    def asks_for(self, variant: str) -> Mapping[str, Any]:
        """Return no settings, because there is a single variant."""
        return {}

    @classmethod
    def inactive(cls, settings: Any) -> frozenset[str]:
        """Return the settings without effect: `slice_score` without a choice of two, those of voxels without any."""
        if cls.scored is None:
            return OF_VOXELS | {"slice_score"}
        return frozenset({"slice_score"} if cls.slice_title is None else ())

    @classmethod
    def prepare(cls, config: Any, source: Any, name: str) -> tuple[Any, dict[str, str]]:
        """Return the config of a recipe unchanged, and no files to take over from another bundle.

        Raises:
            InputError: there is another bundle.
        """
        if source is not None:
            raise InputError(f"The detector '{cls.kind}' has no use for the features of {name}.")
        return config, {}

    def same(self, stage: str, done: Mapping[str, Arrays], before: Any, now: Any) -> bool:
        """Return False: any changed setting of a stage counts as a changed result."""
        return False

    def healthy(self, name: str, settings: Any) -> tuple[str, str] | None:
        """Return the table of the scored map, one for each variant; None for other maps."""
        return ("residual", self.variant(settings)) if name == self.scored else None

    def slice_score(self, results: Arrays, settings: Any) -> NDArray | None:
        """Return None, because slices are scored by their voxels."""
        return None

    @property
    def loss_title(self) -> str | None:
        """None: no network was trained with a loss of each slice."""
        return None

    def loss(self, slices: NDArray, position: NDArray) -> NDArray:
        """Without a loss there is nothing to compute."""
        raise NotImplementedError(f"{self.kind} has no loss of a slice")

    def in_words(self, settings: Any, thresholds: Mapping[str, float]) -> str:
        """Return the name of the variant."""
        return self.variant(settings)

    def unfold(self, slice_: NDArray, position: float, done: Mapping[str, Arrays], settings: Any) -> Unfolding | None:
        """Return None, because the detector has no codes."""
        return None

    def slice_words(self, settings: Any) -> str:
        """Return an empty string, because there is no slice score to describe."""
        return ""

    def about(self) -> list[tuple[str, str]]:
        """Return the first line of the class docstring."""
        return [("detector", (type(self).__doc__ or "").partition("\n")[0])]

    def compared(self, table: str, results: Arrays, mask: NDArray) -> NDArray:
        """Return no values, because there are no own thresholds."""
        return np.zeros(0, np.float32)

    def fits(self, results: Mapping[str, Sequence[Arrays]], shape: tuple[int, ...]) -> bool:
        """Check that the results are of all stages, and that each array is float32 (1, H, W)."""
        names = {stage.name for stage in self.stages}
        arrays = [array for slices in results.values() for of_slice in slices for array in of_slice.values()]
        return set(results) == names and all(a.shape == (1, *shape) and a.dtype == np.float32 for a in arrays)

    def check(self, calibration: Any) -> str | None:
        """Return why its own slice score cannot be used; None if its table is there, or it has no such score."""
        if (self.slice_title is not None) == (len(calibration.slice_score) == 1):
            return None
        return "for another model: its tables and the model do not agree on slice scores"

    def fit_tables(self, results: Sequence[Arrays], masks: Sequence[NDArray]) -> dict[str, Any]:
        """Compute the quantiles of its own slice score over slices with brain; no tables without such a score."""
        found = []
        for arrays, mask in zip(results, masks, strict=True):
            if (scores := self.slice_score(arrays, self.Settings())) is not None:
                found.append(scores[mask.any((1, 2))])
        return {"slice_score": {"0": quantiles(np.concatenate(found))}} if found else {}
