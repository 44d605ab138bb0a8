"""The order of the points of a sweep, and the time that is left.

Points with the same restorations follow each other, the most restorations first: the networks run for the first point
of such a group only; fewer restorations, and settings such as k, are then arithmetic.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.progress import Progress
from napari_vqad.evaluate.settings_grid import GridPoint


class SweepProgress(NamedTuple):
    """Progress of a sweep.

    Attributes:
        done, total: points.
        seconds_left: None while it is not known.
        step: progress of the networks at the present point; None while they do not run.
    """

    done: int
    total: int
    seconds_left: float | None = None
    step: Progress | None = None

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f" · {_duration(self.seconds_left)} left"
        step = f" · {self.step.stage}: {self.step.done} of {self.step.total} slices" if self.step else ""
        return f"{self.done} of {self.total} cells{left}{step}"


class SweepPace:
    """Orders the points and measures their times.

    Attributes:
        order: the points in the order in which to analyse them.
    """

    def __init__(self, explorer: Explorer, base: Settings, points: Sequence[GridPoint]) -> None:
        samples = {phase.samples for phase in explorer.phases if phase.samples is not None}
        of_networks = sorted(explorer.settings_of_stages() - samples)
        groups: dict[tuple[str, ...], list[tuple[tuple[int, ...], int]]] = {}
        for index, point in enumerate(points):
            settings = base.model_copy(update=dict(point.updates))
            idle = explorer.detector.inactive(settings)
            key = tuple(str(getattr(settings, name)) for name in of_networks if name not in idle)
            most_first = tuple(-getattr(settings, name) for name in sorted(samples))
            groups.setdefault(key, []).append((most_first, index))
        indices = [[index for _, index in sorted(group)] for group in groups.values()]
        self.order = [points[index] for group in indices for index in group]
        self._is_first = {id(points[group[0]]) for group in indices}
        self._open = list(self.order)
        self._times: dict[bool, list[float]] = {True: [], False: []}  # by whether the networks ran
        self._started = 0.0

    def begin(self) -> None:
        """Start the clock for a point."""
        self._started = time.monotonic()

    def paused(self, news: SweepProgress) -> Iterator[SweepProgress]:
        """Yield progress; the time until the generator goes on does not count."""
        before = time.monotonic()
        yield news
        self._started += time.monotonic() - before

    def end(self, point: GridPoint) -> None:
        """Stop the clock for a point that was computed."""
        self._times[id(point) in self._is_first].append(time.monotonic() - self._started)

    def done(self, point: GridPoint) -> None:
        """Note that a point is done, computed or stored."""
        self._open.remove(point)

    def progress(self, step: Progress | None = None) -> SweepProgress:
        """Return the progress; `step` is that of the networks at the present point, the first one that is not done."""
        done = len(self.order) - len(self._open)
        return SweepProgress(done, len(self.order), self._left(step), step)

    def _left(self, step: Progress | None) -> float | None:
        """Estimate the seconds left from the mean times of points with and without networks."""
        open_ = [id(point) in self._is_first for point in self._open]
        times, now = {first: list(of) for first, of in self._times.items()}, 0.0
        if step is not None and step.seconds_left is not None:
            now = step.seconds_left
            times[open_[0]].append(time.monotonic() - self._started + now)
            open_ = open_[1:]
        if any(open_) and not times[True]:
            return None
        means = {first: sum(of) / len(of) if of else 0.0 for first, of in times.items()}
        return now + sum(means[first] for first in open_)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
