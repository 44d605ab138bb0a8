"""Calibration: quantiles of each score over healthy scans, so that thresholds can be healthy percentiles."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from napari_vqad.settings import Threshold, is_of_training

Score = (
    str  # a table of `Calibration`: "slice_score", "residual", "pixel_score", "slices", or one of the detector's own
)
PER_VARIANT = ("residual", "pixel_score", "slices")
WRITTEN = {"intensity": "plain", "normative": "place"}  # names of the scales in the files of bundles

LEVELS = tuple(float(p) for p in [*range(100), *np.arange(991, 1000) / 10, 99.95, 99.99, 99.999, 100])
# Percentiles of a threshold at which the table of a slice score that depends on it is computed.
LAMBDA_LEVELS = (0.0, 50.0, 80.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9)


class SliceTables(BaseModel):
    """Healthy slice scores, in a file of their own because they decide which slices are flagged but change no map.

    Attributes:
        weights: SHA-256 of the networks that were calibrated (`Bundle.weights`).
        slice_nll, slices: see `Calibration`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: str
    slice_nll: tuple[float, float] | None
    slices: dict[str, list[float]]


class Calibration(BaseModel):
    """Quantiles over the calibration scans, at the percentiles `levels`.

    Further tables are the detector's own (`Detector.tables`), such as "nll" of the vector-quantised detector. Each is a
    list of quantiles, or maps kinds to such lists.

    Attributes:
        slice_score: percentile of the threshold on which the detector's own slice score depends
            (`Detector.slice_threshold`) → quantiles of the score at that threshold; "0" alone if it depends on none.
        residual: variant of the detector, such as a method → quantiles over the voxels of the mask, SD.
        pixel_score: kind of pixel score, named by `pixel_kind` → quantiles over the voxels of the mask, in SD of
            intensity or, for normative scales, in healthy SDs at the voxel.
        findings: kind of pixel score → healthy findings per scan (connected components of at least `finding_voxels`
            grid voxels, or as many as the preset with this pooling asks for) above each quantile of the pixel score.
        training: kind of pixel score → quantiles as in `pixel_score`, but over scans that the networks were trained on
            (Baur et al. 2018); only of poolings in `settings.OF_TRAINING`.
        slices: kind of pixel score → quantiles of the slice score computed from it (`scores.slices`), in its unit.
        slice_nll: median and 84th percentile over the voxels of the mask of the NLL in healthy SDs at the voxel; None
            without normative maps.
        fused: constants that fused scores were computed with (`bundle_checks.MADE_WITH`); empty without fused scores.
        weights: SHA-256 of the networks that were calibrated (`Bundle.weights`); None in bundles of earlier versions.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, list[float] | dict[str, list[float]]] = Field(init=False)

    n_scans: int = Field(ge=1, le=10**9)
    n_slices: int = Field(ge=1)
    finding_voxels: int = Field(10, ge=1)
    levels: list[float] = Field(min_length=2)
    slice_score: dict[str, list[float]] = {}
    residual: dict[str, list[float]]
    pixel_score: dict[str, list[float]]
    findings: dict[str, list[float]]
    slices: dict[str, list[float]] = {}
    slice_nll: tuple[float, float] | None = None
    fused: dict[str, float] = {}
    weights: str | None = None
    training: dict[str, list[float]] = {}

    @model_validator(mode="after")
    def _are_quantiles(self) -> Calibration:
        tables = [
            *(quantiles for table in self.own.values() for quantiles in table.values()),
            *self.slice_score.values(),
            *self.residual.values(),
            *self.pixel_score.values(),
            *self.training.values(),
        ]
        by_kind = [*self.findings.values(), *self.slices.values()]
        if any(len(t) != len(self.levels) for t in [*tables, *by_kind]):
            raise ValueError("every table of quantiles must have one value for each level")
        if (
            not np.isfinite([*self.levels, *self.fused.values(), *(self.slice_nll or ())]).all()
            or not np.isfinite([*tables, *by_kind]).all()
        ):
            raise ValueError("a level, a quantile or a constant is not a finite number")
        levels = np.array(self.levels)
        if levels[0] < 0 or levels[-1] > 100 or (np.diff(levels) <= 0).any():
            raise ValueError("levels are percentiles, 0 to 100, each above the one before")
        if any((np.diff(t) < 0).any() for t in (*tables, *self.slices.values())):
            raise ValueError("the quantiles of a table must not fall")
        if any(value < 0 for counts in self.findings.values() for value in counts):
            raise ValueError("there are no fewer findings than none")
        if not all(_is_level(key) for key in self.slice_score):
            raise ValueError("the tables of slice_score go by percentiles, such as '99.5'")
        return self

    @property
    def own(self) -> dict[str, dict[str, list[float]]]:
        """The detector's own tables: name → kind → quantiles; the kind is "" if a table has one only."""
        return {n: t if isinstance(t, dict) else {"": t} for n, t in (self.__pydantic_extra__ or {}).items() if t}

    def with_slices(self, tables: SliceTables) -> Calibration:
        """Return a copy with these healthy slice scores.

        Raises:
            pydantic.ValidationError: they do not fit the other tables.
        """
        return Calibration.model_validate(self.model_dump() | tables.model_dump(exclude={"weights"}))

    def value(self, score: Score, threshold: Threshold, *, kind: str = "", at: float = 0.0) -> float:
        """Return a threshold in the unit of the score; "p90", "t98" and "1/3" are converted, a number is returned.

        Args:
            score: name of the table.
            threshold: a number, "p90", "t98" (of training scans) or "1/3".
            kind: kind of the table, such as a variant.
            at: for "slice_score", healthy percentile of the threshold on which it depends.
        """
        if not isinstance(threshold, str):
            return float(threshold)
        if is_of_training(threshold):
            return float(np.interp(float(threshold[1:]), self.levels, self.training[kind]))
        if "/" in threshold:
            # n calibration scans cannot show a rate below one finding per n scans.
            return self.threshold_for_rate(kind, 1 / min(int(threshold.split("/")[1]), self.n_scans))
        return float(np.interp(float(threshold[1:]), self.levels, self._table(score, kind, at)))

    def percentile(self, score: Score, value: float, *, kind: str = "", at: float = 0.0) -> float:
        """Return the percentage of healthy values that are `value` or less; other arguments as of `value`."""
        table = self._table(score, kind, at)
        # If several levels have this value, the highest applies: that share of values is at or below it.
        above = int(np.searchsorted(table, value, side="right"))
        if above == 0 or above == len(table):
            return self.levels[0] if above == 0 else self.levels[-1]
        low, high = table[above - 1], table[above]
        part = (value - low) / (high - low)
        return float(self.levels[above - 1] + part * (self.levels[above] - self.levels[above - 1]))

    def findings_per_scan(self, threshold: float, *, kind: str) -> float:
        """Return the expected number of findings above this pixel score in a healthy scan."""
        return float(np.interp(threshold, self.pixel_score[kind], self.findings[kind]))

    def median_and_p84(self, kind: str) -> tuple[float, float]:
        """Return the median and the 84th percentile of a kind of pixel score."""
        return self.value("pixel_score", "p50", kind=kind), self.value("pixel_score", "p84", kind=kind)

    def threshold_for_rate(self, kind: str, wanted: float = 1.0) -> float:
        """Return the pixel score above which a healthy scan has `wanted` findings on average.

        Return the 90th percentile if there are never so many, because lower scores are not worth flagging.
        """
        counts, scores = np.array(self.findings[kind]), np.array(self.pixel_score[kind])
        # As the threshold rises, the number of findings rises, then falls. The last crossing is used.
        more = np.flatnonzero(counts > wanted)
        if not len(more):
            return float(np.interp(90.0, self.levels, scores))
        last = int(more.max())
        if last + 1 == len(scores):
            return float(scores[-1])
        part = (counts[last] - wanted) / max(counts[last] - counts[last + 1], 1e-9)
        return float(scores[last] + min(part, 1.0) * (scores[last + 1] - scores[last]))

    def _table(self, score: Score, kind: str, at: float) -> np.ndarray:
        if score in PER_VARIANT:
            return np.asarray(getattr(self, score)[kind])
        if score != "slice_score":
            return np.asarray(self.own[score][kind])
        # Between two tabulated thresholds, the quantiles of the slice score are interpolated.
        levels = sorted(float(level) for level in self.slice_score)
        tables = np.array([self.slice_score[f"{level:g}"] for level in levels])
        place = np.interp(at, levels, np.arange(len(levels)))
        below = int(place)
        above = min(below + 1, len(levels) - 1)
        return tables[below] + (place - below) * (tables[above] - tables[below])


def _is_level(key: str) -> bool:
    """Check whether this is a percentile in the format that `_table` looks up."""
    try:
        return 0 <= float(key) <= 100 and f"{float(key):g}" == key
    except ValueError:
        return False


def pixel_kind(variant: str, pooling: str, scale: str) -> str:
    """Return the name of a kind of pixel score in tables and files, such as "anchored smooth place"."""
    return f"{variant} {pooling} {WRITTEN.get(scale, scale)}"


def quantiles(values: np.ndarray) -> list[float]:
    """Compute the quantiles of values at the percentiles `LEVELS`."""
    return [float(v) for v in np.percentile(values.astype(np.float32), LEVELS)]
