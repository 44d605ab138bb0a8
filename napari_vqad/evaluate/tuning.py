"""Tuning of λ on a validation part, for each model and method (Marimont & Tarroni 2020, §3; Ishii 2023, §4).

The candidates are percentiles of the NLL of all codes of the validation part, normal and abnormal ones together. The
slices of the validation part are scored with each candidate, and the candidate with the best balanced accuracy is
chosen: (sensitivity + specificity) / 2 at the best threshold for these scores, which Ishii 2023 reports as "AUC". The
percentiles of all codes and the choice by balanced accuracy are taken from the author's code; the text does not
describe them.

Thresholds that a stage reads (λ_p) are tuned for each restoration method, the others (λ_s) for the detector's own slice
score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_vqad.detectors.protocol import Detector, ThresholdSpec
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.experiment import Collected
from napari_vqad.evaluate.metrics import AtThreshold, Ranking, at_best, rank
from napari_vqad.evaluate.variants import Variant

PERCENTILES = (20.0, 40.0, 60.0, 80.0, 90.0, 98.0)


@dataclass(frozen=True)
class Tried:
    """A candidate for a threshold.

    Attributes:
        percentile: percentile of the values of all codes of the validation part.
        value: the threshold, in its own unit (nats).
        best: metrics of the validation slices at the best threshold for their scores.
        ranking: ranking of the same scores.
    """

    percentile: float
    value: float
    best: AtThreshold
    ranking: Ranking


@dataclass(frozen=True)
class Tuning:
    """The candidates for one setting of one method, of which one is chosen."""

    method: str
    setting: str
    tried: tuple[Tried, ...]

    @property
    def chosen(self) -> Tried:
        """The candidate with the best balanced accuracy; the first if several are equal."""
        return max(self.tried, key=lambda one: one.best.balanced)


def tuned_by(detector: Detector, variant: Variant) -> ThresholdSpec | None:
    """Return the threshold that affects a variant; None if none does, such as for a detector without a prior."""
    if variant.of == "loss":
        return None
    read = {name for stage in detector.stages for name in stage.settings}
    inactive = detector.inactive(detector.Settings(**variant.updates))
    for spec in detector.thresholds:
        if spec.setting not in inactive and (spec.setting in read) == (variant.of == "pixel"):
            return spec
    return None


def values_of(explorer: Explorer, cases: Iterable[Case], tables: Iterable[str]) -> dict[str, np.ndarray]:
    """Compute the values of all codes of the cases, by table of their healthy values: "nll" → (N,), nats."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in tables}
    first = explorer.phases[0].name
    for case in cases:
        explorer.load_grid(case.grid)
        explorer.finish((first,))
        brain = case.grid.mask.any((1, 2))
        for name, parts in found.items():
            parts.append(explorer.results(first, name)[brain].ravel())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def candidates(
    variant: Variant, spec: ThresholdSpec, values: np.ndarray, percentiles: Sequence[float]
) -> list[Variant]:
    """Return copies of a variant with its threshold at each percentile of `values`."""
    limits = {p: float(np.percentile(values, p)) for p in percentiles}
    return [
        # Results are stored by this name. It has the value, because a percentile of other cases has another value.
        replace(
            variant, name=f"{variant.name} {spec.setting} p{p:g} {v!r}", updates={**variant.updates, spec.setting: v}
        )
        for p, v in limits.items()
    ]


def tuning_of(
    variant: Variant, spec: ThresholdSpec, tried: Sequence[Variant], percentiles: Sequence[float], found: Collected
) -> Tuning:
    """Evaluate the candidates `tried`, whose scores on the validation part are `found`."""
    rows = []
    for p, candidate in zip(percentiles, tried, strict=True):
        scores, answers = found.of("slices", candidate.name)
        value = candidate.updates[spec.setting]
        rows.append(Tried(p, value, at_best(scores, answers), rank(scores, answers)))
    return Tuning(variant.name, spec.setting, tuple(rows))


def table(bundle: str, tunings: Sequence[Tuning]) -> str:
    """Make a Markdown table of macro F1 and balanced accuracy of the candidates, the chosen one in bold."""
    if not tunings:
        return ""
    percentiles = [one.percentile for one in tunings[0].tried]
    head = f"| {bundle}, validation: F1 / “AUC” | " + " | ".join(f"p{p:g}" for p in percentiles) + " |"
    lines = [head, "|---" * (len(percentiles) + 1) + "|"]
    for tuning in tunings:
        cells = []
        for one in tuning.tried:
            cell = f"{one.best.macro:.3f} / {one.best.balanced:.3f}"
            cells.append(f"**{cell}**" if one is tuning.chosen else cell)
        lines.append(f"| {tuning.method}, {tuning.setting} | {' | '.join(cells)} |")
    return "\n".join(lines)
