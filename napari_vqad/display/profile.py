"""The profile of the slices: their scores in reading order, the threshold, and what is said of each slice."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_vqad.display import slice_scores
from napari_vqad.engine.completeness import missing_slices
from napari_vqad.engine.explorer import Explorer
from napari_vqad.imaging.slice_numbers import numbers, reading_order


@dataclass(frozen=True)
class SliceProfile:
    """What the profile shows; without arguments, nothing.

    Attributes:
        scores: slice scores by grid index, (n,), NaN where not ready.
        flagged: bool (n,).
        waiting: bool (n,), slices whose scores are not final yet.
        sample: the detector's own score, such as AS_sample, (n,), to show in addition; empty if `scores` is that score.
        threshold: of the scores, in `unit`.
        unit: "nats" for AS_sample, or "SD".
        names: labels of the bars, with their unit, and of the curve; None if the detector has no curve.
        places: number and position of each slice, in words.
        axis_note: text to put after a position if the scan is oblique.
        order: the grid index of each bar. The bars are in the order of the slider: the top of the head is on the left.
    """

    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    flagged: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    waiting: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    sample: np.ndarray = field(default_factory=lambda: np.zeros(0))
    threshold: float = 0.0
    unit: str = "nats"
    names: tuple[str, str | None] = ("", None)
    places: tuple[str, ...] = ()
    axis_note: str = ""
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    @classmethod
    def of(cls, explorer: Explorer) -> SliceProfile:
        """The profile of the explorer's scan."""
        grid, unit = explorer.grid, slice_scores.unit(explorer)
        name = explorer.detector.slice_title
        alone = name is None or unit == "nats"
        places, head = [grid.slice_label(i) for i in range(len(grid))], grid.kind == "head"
        return cls(
            scores=explorer.slice_scores(),
            flagged=explorer.flagged_slices(),
            waiting=np.isin(np.arange(len(grid)), missing_slices(explorer)),
            sample=np.zeros(0) if alone else np.nan_to_num(explorer.sample_scores()),
            threshold=explorer.thresholds()["flag_slices"],
            unit=unit,
            names=(slice_scores.title(explorer), name),
            # The position of a frame is its number.
            places=tuple(f"{n}, {at}" if head else at for n, at in zip(numbers(grid), places, strict=True)),
            axis_note=grid.axis_note,
            order=reading_order(grid),
        )

    @property
    def top(self) -> float:
        """The score at the upper end of the plot."""
        return max(float(np.nan_to_num(self.scores).max(initial=0.0)), 1.3 * self.threshold, 1e-6)

    def number(self, score: float) -> str:
        """A score as a number."""
        return f"{score:.0f}" if self.unit == "nats" else f"{score:.1f}"

    def words(self, i: int) -> str:
        """The text for a slice: its place, score and, if available, the detector's own score."""
        score = "not analysed" if np.isnan(self.scores[i]) else f"{self.number(self.scores[i])} {self.unit}"
        if len(self.sample) == len(self.scores):
            score += f", {self.names[1]} {self.sample[i]:.0f} nats"
        score += ", not final yet" if self.waiting[i] else ""
        return f"Slice {self.places[i]}{self.axis_note}: {score}".replace("Slice frame", "Frame")


def count_in_words(explorer: Explorer) -> str:
    """The number of flagged slices: "25 of 60 slices flagged", with "so far" until all are scored."""
    what = "slices" if explorer.grid.kind == "head" else "frames"
    done = np.isfinite(explorer.slice_scores()[explorer.chosen()]).all()
    return f"{int(explorer.flagged_slices().sum())} of {explorer.n_slices} {what} flagged{'' if done else ' so far'}"
