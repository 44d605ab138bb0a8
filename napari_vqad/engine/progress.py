"""Progress of the work, and the error that stops outdated work."""

from __future__ import annotations

from dataclasses import dataclass


class StaleWorkError(Exception):
    """The current work is outdated: the settings or the scan changed, or the user cancelled."""


@dataclass(frozen=True)
class Progress:
    """Progress of a stage.

    Attributes:
        slices: slices just finished.
        note: remark for the user, such as that the CPU is used.
    """

    stage: str
    done: int
    total: int
    seconds_left: float | None = None
    slices: tuple[int, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f" · {self.seconds_left:.0f} s left"
        return f"{self.stage}: {self.done} of {self.total} slices{left}{self.note and f' · {self.note}'}"
