"""How far work has come, and how it is told that it is no longer wanted."""

from __future__ import annotations

from dataclasses import dataclass


class StaleWorkError(Exception):
    """What is being worked on is no longer wanted."""


@dataclass(frozen=True)
class Progress:
    """How far a stage has come.

    Attributes:
        slices: those just done.
        note: what the person should know of how it is done.
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
