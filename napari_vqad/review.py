"""A reader's verdicts on the findings of a scan: accepted, rejected, a note; all that was said can be taken back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from psygnal import Signal

from napari_vqad.findings import Finding

Verdict = Literal["open", "accepted", "rejected"]
Place = tuple[int, int, int]


@dataclass(frozen=True)
class Word:
    """What was said of one finding."""

    verdict: Verdict = "open"
    note: str = ""


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
        self._words: dict[Place, Word] = {}
        self._said: list[tuple[Place, Word]] = []  # place, and what stood there before

    def take(self, found: list[Finding]) -> None:
        """Other findings of the same scan; what was said of those that stay, stays."""
        self.found, self.note = found, ""
        self.changed.emit()

    def wait(self, note: str) -> None:
        """The findings are of a state before, for the reason given."""
        self.note = note
        self.changed.emit()

    def clear(self) -> None:
        """Another scan: nothing was said of it yet."""
        self.note = "Not analysed yet."
        self.found, self._words, self._said = [], {}, []
        self.changed.emit()

    @property
    def words(self) -> dict[Place, Word]:
        """All that was said, by place."""
        return {place: word for place, word in self._words.items() if word != Word()}

    def recall(self, words: dict[Place, Word]) -> None:
        """What was said before, instead of what was said now; nothing of it can be undone."""
        self._words, self._said = dict(words), []
        self.changed.emit()

    def word(self, finding: Finding) -> Word:
        """What was said of it."""
        return self._words.get(self._place(finding), Word())

    def judge(self, finding: Finding, verdict: Verdict) -> None:
        """Accept or reject; the same verdict again takes it back."""
        before = self.word(finding)
        self._say(finding, replace(before, verdict="open" if before.verdict == verdict else verdict))

    def remark(self, finding: Finding, note: str) -> None:
        """Write a note on it."""
        if note != self.word(finding).note:
            self._say(finding, replace(self.word(finding), note=note))

    def undo(self) -> bool:
        """Take the last word back; False when there is none."""
        if not self._said:
            return False
        place, before = self._said.pop()
        self._put(place, before)
        return True

    def _place(self, finding: Finding) -> Place:
        """Where its word is kept: at its peak, or where a peak was that lies within it."""
        within = [place for place in self._words if place != finding.top and finding.piece.holds(place)]
        return finding.top if finding.top in self._words or not within else within[0]

    def _say(self, finding: Finding, word: Word) -> None:
        place = self._place(finding)
        self._said.append((place, self.word(finding)))
        self._put(place, word)

    def _put(self, place: Place, word: Word) -> None:
        """A place of which nothing is said any more keeps no word: an empty one would hide that of a neighbour."""
        self._words[place] = word
        if word == Word():
            del self._words[place]
        self.changed.emit()
