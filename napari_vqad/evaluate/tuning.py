"""λ tuned on a validation part, for each model and method apart (Marimont & Tarroni 2020, §3; Ishii 2023, §4).

The candidates are percentiles of the NLL of all codes of the validation part, normal and abnormal ones together. For
each candidate the slices of the validation part are scored, and the candidate with the best balanced accuracy wins:
(sensitivity + specificity) / 2 at the best threshold for these scores, which is what Ishii 2023 prints as "AUC". Which
codes the percentiles are of, and that balanced accuracy decides, stands in the author's code, not in the text.

A detector declares its thresholds. Those that a stage reads (λ_p) are tuned for each way of restoring, the others
(λ_s) for the detector's own slice score.
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
    """One candidate for a threshold.

    Attributes:
        percentile: of the values of all codes of the validation part.
        value: the threshold, in its own unit (nats).
        best: the slices of the validation part at the best threshold of their scores.
        ranking: of the same scores.
    """

    percentile: float
    value: float
    best: AtThreshold
    ranking: Ranking


@dataclass(frozen=True)
class Tuning:
    """The candidates for one setting of one method, and which of them was chosen."""

    method: str
    setting: str
    tried: tuple[Tried, ...]

    @property
    def chosen(self) -> Tried:
        """The candidate with the best balanced accuracy; of several, the lowest."""
        return max(self.tried, key=lambda one: one.best.balanced)


def tuned_by(detector: Detector, variant: Variant) -> ThresholdSpec | None:
    """The threshold that matters to a variant; None where there is none, as without a prior."""
    if variant.of == "loss":
        return None
    read = {name for stage in detector.stages for name in stage.settings}
    inactive = detector.inactive(detector.Settings(**variant.updates))
    for spec in detector.thresholds:
        if spec.setting not in inactive and (spec.setting in read) == (variant.of == "pixel"):
            return spec
    return None


def values_of(explorer: Explorer, cases: Iterable[Case], tables: Iterable[str]) -> dict[str, np.ndarray]:
    """The values of all codes of some cases, by the table that holds their healthy ones: "nll" → (N,), nats."""
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
    """The variant with its threshold at each percentile of `values`."""
    limits = {p: float(np.percentile(values, p)) for p in percentiles}
    return [
        # Results are kept by this name: other validation cases give another value at the same percentile.
        replace(
            variant, name=f"{variant.name} {spec.setting} p{p:g} {v!r}", updates={**variant.updates, spec.setting: v}
        )
        for p, v in limits.items()
    ]


def tuning_of(
    variant: Variant, spec: ThresholdSpec, tried: Sequence[Variant], percentiles: Sequence[float], found: Collected
) -> Tuning:
    """What the candidates `tried` did on the validation part, whose scores are `found`."""
    rows = []
    for p, candidate in zip(percentiles, tried, strict=True):
        scores, answers = found.of("slices", candidate.name)
        value = candidate.updates[spec.setting]
        rows.append(Tried(p, value, at_best(scores, answers), rank(scores, answers)))
    return Tuning(variant.name, spec.setting, tuple(rows))


def table(bundle: str, tunings: Sequence[Tuning]) -> str:
    """Markdown: the macro F1 and the balanced accuracy of each candidate on the validation part; bold is the chosen."""
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
