"""Histograms of the scores of normal and abnormal slices or frames, one panel per method (Ishii 2023, figures 6–8)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from napari_vqad.evaluate.comparison import ModelResult
from napari_vqad.files.atomic import atomic_write

BINS = 40
COLOURS = {False: "#3b7dd8", True: "#e07b00"}  # distinguishable for colour-blind readers


@dataclass
class ScoreHistograms:
    """Collects scores of the test part. `write` draws their histograms."""

    what: str = "frames"
    rows: dict[str, list[tuple[ModelResult, np.ndarray, np.ndarray]]] = field(default_factory=dict)

    def add(self, line: ModelResult, scores: np.ndarray, answers: np.ndarray) -> None:
        """Add the scores of one model with one method, and which of them are of abnormal slices."""
        self.rows.setdefault(line.bundle, []).append((line, scores, answers))

    def write(self, path: Path) -> None:
        """Draw the histograms as PNG: rows are models, columns are methods.

        Raises:
            InputError: the file cannot be written.
        """
        wide = max(len(row) for row in self.rows.values())
        figure = Figure(figsize=(3.4 * wide, 2.5 * len(self.rows)), dpi=110, layout="constrained")
        axes = figure.subplots(len(self.rows), wide, squeeze=False)
        for of_model, row in zip(axes, self.rows.values(), strict=True):
            for panel in of_model[len(row) :]:
                panel.set_axis_off()
            for panel, (line, scores, answers) in zip(of_model, row, strict=False):
                low, high = float(scores.min()), float(np.percentile(scores, 99.5))
                edges = np.linspace(low, max(high, low + 1e-3 * max(abs(low), 1.0)), BINS + 1)
                for abnormal, colour in COLOURS.items():
                    shown = np.clip(scores[answers == abnormal], edges[0], edges[-1])
                    label = f"{'abnormal' if abnormal else 'normal'} {self.what}"
                    if len(shown):
                        panel.hist(shown, edges, density=True, alpha=0.55, color=colour, label=label)
                panel.axvline(line.at.threshold, color="black", linewidth=1, label="threshold of validation")
                panel.set_title(f"{line.bundle}\n{line.method}, AUROC {line.slices.auroc:.3f}", fontsize=8)
                panel.tick_params(labelsize=7)
                panel.set_yticks([])
        axes[0][0].legend(fontsize=6)
        with atomic_write(path) as fresh:
            figure.savefig(fresh, format="png")
