"""Detection of slices with simulated anomalies in validation heads, flagged at a healthy percentile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate.cases import Case
from napari_vqad.evaluate.metrics import rank
from napari_vqad.settings import SliceScore

ROUNDS = 1000  # of the bootstrap


@dataclass
class Collected:
    """Results of one slice score: subject → (scores, flagged, has an anomaly) of the slices of each case."""

    subjects: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = field(default_factory=dict)

    def measures(self, chosen: Iterable[str] | None = None) -> tuple[float, float, float]:
        """Compute AUROC, flagged share of slices with an anomaly, and flagged share of slices without one."""
        parts = [part for subject in (self.subjects if chosen is None else chosen) for part in self.subjects[subject]]
        scores, flagged, positive = (np.concatenate(column) for column in zip(*parts, strict=True))
        return rank(scores, positive).auroc, float(flagged[positive].mean()), float(flagged[~positive].mean())

    def intervals(self, seed: int = 0) -> np.ndarray:
        """Compute the 5th and 95th percentile of each measure over bootstrap samples of subjects, (2, 3)."""
        names, rng = list(self.subjects), np.random.default_rng(seed)
        drawn = [self.measures(rng.choice(names, len(names))) for _ in range(ROUNDS)]
        return np.percentile(drawn, [5, 95], axis=0)


def collect(bundle: Bundle, settings: Settings, cases: Iterable[Case]) -> dict[str, Collected]:
    """Compute each slice score on all cases, by its name."""
    found: dict[str, Collected] = {name: Collected() for name in get_args(SliceScore)}
    explorer = Explorer(bundle, settings)
    for case in cases:
        explorer.load_grid(case.grid)
        for _ in explorer.work():
            pass
        clear, positive = case.of_slices()
        subject = case.name.partition("-")[0]
        for name, collected in found.items():
            explorer.change(explorer.settings.model_copy(update={"slice_score": name}))
            scores = np.nan_to_num(explorer.slice_scores(), nan=-np.inf)
            part = (scores[clear], explorer.flagged_slices()[clear], positive[clear])
            collected.subjects.setdefault(subject, []).append(part)
    return found


def table(found: dict[str, Collected]) -> str:
    """Make a Markdown table with one row per slice score, with bootstrap intervals over subjects."""
    lines = ["| slice score | AUROC | flagged, with an anomaly | flagged, without |", "|---|---|---|---|"]
    for name, collected in found.items():
        cells = [
            f"{value:.3f} ({low:.3f} to {high:.3f})"
            for value, low, high in zip(collected.measures(), *collected.intervals(), strict=True)
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
