"""A reader's verdicts on the findings of a scan: accepted, rejected, a note; all that was said can be taken back.

A word is kept by the places that it is said of, the peaks of findings: one for a finding, several for a piece that
findings with words of their own have merged into. So each has its own word again when they part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from psygnal import Signal

from napari_vqad.findings.findings import Finding
from napari_vqad.text import printable

Verdict = Literal["open", "accepted", "rejected"]
Peak = tuple[int, int, int]
Peaks = frozenset[Peak]
AND = "; "  # between the notes of findings that have merged
CONFLICT = "Merges an accepted and a rejected finding."


@dataclass(frozen=True)
class Annotation:
    """What was said of one finding."""

    verdict: Verdict = "open"
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "note", printable(self.note))  # it goes into reports and tables


class Review:
    """Verdicts by the place of a finding's peak, so that they stay when a threshold moves and pieces grow or shrink.

    Attributes:
        found: the findings, the weightiest first.
        note: why they are not those of what is shown, in a sentence; empty when they are.
    """

    changed = Signal()  # other findings, or another word on one

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.note = "Not analysed yet."
        self._words: dict[Peaks, Annotation] = {}  # in the order in which they were said
        self._before: list[dict[Peaks, Annotation]] = []  # what stood there, for undo

    def set_findings(self, found: list[Finding]) -> None:
        """Other findings of the same scan; what was said of those that stay, stays."""
        self.found, self.note = found, ""
        self.changed.emit()

    def mark_stale(self, note: str) -> None:
        """The findings are of a state before, for the reason given."""
        self.note = note
        self.changed.emit()

    def clear(self) -> None:
        """Another scan: nothing was said of it yet."""
        self.note = "Not analysed yet."
        self.found, self._words, self._before = [], {}, []
        self.changed.emit()

    @property
    def annotations(self) -> dict[Peaks, Annotation]:
        """All that was said, by place, in the order in which it was said."""
        return dict(self._words)

    def restore(self, words: Mapping[Peaks, Annotation]) -> None:
        """What was said before, instead of what was said now; nothing of it can be undone."""
        self._words, self._before = dict(words), []
        self.changed.emit()

    def annotation(self, finding: Finding) -> Annotation:
        """What was said of it; of a piece that others have merged into, what they have in common (`merged`)."""
        standing: dict[Peaks, Annotation] = {}
        places = self._within(finding)
        for said_of, word in self._words.items():
            if said_of <= places:  # a later word on the whole stands for those on its parts
                standing = {p: w for p, w in standing.items() if not p <= said_of} | {said_of: word}
        return merged(standing.values())

    def set_verdict(self, finding: Finding, verdict: Verdict) -> None:
        """Accept or reject; the same verdict again takes it back."""
        before = self.annotation(finding)
        self._say(finding, replace(before, verdict="open" if before.verdict == verdict else verdict))

    def set_note(self, finding: Finding, note: str) -> None:
        """Write a note on it."""
        if note != self.annotation(finding).note:
            self._say(finding, replace(self.annotation(finding), note=note))

    def undo(self) -> bool:
        """Take the last word back; False when there is none."""
        if not self._before:
            return False
        self._words = self._before.pop()
        self.changed.emit()
        return True

    def _within(self, finding: Finding) -> Peaks:
        """The places within it of which something was said."""
        return frozenset(place for place in frozenset().union(*self._words) if finding.piece.holds(place))

    def _say(self, finding: Finding, word: Annotation) -> None:
        self._before.append(self.annotations)
        said_of = self._within(finding) or frozenset([finding.top])
        self._words.pop(said_of, None)  # the newest comes last
        if (
            word != Annotation() or len(said_of) > 1
        ):  # of a whole, to say nothing any more hides what is said of its parts
            self._words[said_of] = word
        self.changed.emit()


def merged(words: Iterable[Annotation]) -> Annotation:
    """One word for findings that have become one piece: their notes joined, and the verdict, if they have but one.

    Verdicts that contradict each other leave it open, and the note says so.
    """
    said = list(words)
    if len(said) < 2:
        return said[0] if said else Annotation()
    verdicts = {w.verdict for w in said} - {"open"}
    notes = dict.fromkeys(note for w in said for note in w.note.split(AND) if note)
    if len(verdicts) > 1:
        notes[CONFLICT] = None
    return Annotation(verdicts.pop() if len(verdicts) == 1 else "open", AND.join(notes))
