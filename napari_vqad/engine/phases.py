"""Phases: groups of a detector's stages that run together, a few slices at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_vqad.detectors.protocol import Stage


@dataclass(frozen=True)
class Phase:
    """Consecutive stages with the same number of samples.

    Attributes:
        stages: in the order in which they run.
        settings: settings that change its results, including those of earlier stages.
    """

    stages: tuple[Stage, ...]
    settings: frozenset[str]

    @property
    def name(self) -> str:
        """Name of its last stage: a slice is done when that stage is."""
        return self.stages[-1].name

    @property
    def title(self) -> str:
        """Title for the progress line."""
        return self.stages[-1].title

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its stages."""
        return tuple(stage.name for stage in self.stages)

    @property
    def samples(self) -> str | None:
        """The setting that gives the number of samples per slice; None for a single sample."""
        return self.stages[0].samples

    @property
    def at_once(self) -> int | None:
        """Most slices in one job; None if the detector sets no limit."""
        return self.stages[0].at_once

    @property
    def focus_alone(self) -> bool:
        """True if the slice in view runs alone, before the others."""
        return self.stages[0].focus_alone


def phases_of(stages: Sequence[Stage]) -> tuple[Phase, ...]:
    """Group stages into phases. A stage with a single sample forms its own phase."""
    groups: list[list[Stage]] = []
    for stage in stages:
        if groups and stage.samples is not None and groups[-1][0].samples == stage.samples:
            groups[-1].append(stage)
        else:
            groups.append([stage])
    by_name = {stage.name: stage for stage in stages}

    def settings(stage: Stage) -> set[str]:
        return set(stage.settings).union(*(settings(by_name[name]) for name in stage.after))

    return tuple(Phase(tuple(g), frozenset().union(*(settings(stage) for stage in g))) for g in groups)
