"""The reader's verdicts (accepted, rejected) and notes on the findings of a scan, with undo.

Annotations are keyed by the peak voxels of the findings they describe: one peak normally, several after annotated
findings have merged. If the findings separate again, the original annotations apply again.
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
    """Verdict and note on one finding."""

    verdict: Verdict = "open"
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "note", printable(self.note))  # the note is written to reports and tables


class Review:
    """Annotations by peak voxel, so that they persist when a threshold changes and findings grow or shrink.

    Attributes:
        found: the findings, the largest sum of scores first.
        note: one sentence on why the findings do not match the maps on screen; empty if they match.
    """

    changed = Signal()  # the findings or an annotation changed

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.note = "Not analysed yet."
        self._words: dict[Peaks, Annotation] = {}  # in the order in which they were made
        self._before: list[dict[Peaks, Annotation]] = []  # earlier states, for undo

    def set_findings(self, found: list[Finding]) -> None:
        """Set new findings of the same scan; annotations are kept."""
        self.found, self.note = found, ""
        self.changed.emit()

    def mark_stale(self, note: str) -> None:
        """Mark the findings as out of date; `note` says why."""
        self.note = note
        self.changed.emit()

    def clear(self) -> None:
        """Remove all findings and annotations, for another scan."""
        self.note = "Not analysed yet."
        self.found, self._words, self._before = [], {}, []
        self.changed.emit()

    @property
    def annotations(self) -> dict[Peaks, Annotation]:
        """All annotations by peaks, in the order in which they were made."""
        return dict(self._words)

    def restore(self, words: Mapping[Peaks, Annotation]) -> None:
        """Replace all annotations by saved ones; this cannot be undone."""
        self._words, self._before = dict(words), []
        self.changed.emit()

    def annotation(self, finding: Finding) -> Annotation:
        """Return the annotation of a finding; if annotated findings merged into it, the combined one (`merged`)."""
        standing: dict[Peaks, Annotation] = {}
        places = self._within(finding)
        for said_of, word in self._words.items():
            if said_of <= places:  # a later annotation of the whole replaces those of its parts
                standing = {p: w for p, w in standing.items() if not p <= said_of} | {said_of: word}
        return merged(standing.values())

    def set_verdict(self, finding: Finding, verdict: Verdict) -> None:
        """Accept or reject a finding; the same verdict again resets it to open."""
        before = self.annotation(finding)
        self._say(finding, replace(before, verdict="open" if before.verdict == verdict else verdict))

    def set_note(self, finding: Finding, note: str) -> None:
        """Set the note on a finding."""
        if note != self.annotation(finding).note:
            self._say(finding, replace(self.annotation(finding), note=note))

    def undo(self) -> bool:
        """Undo the last change; False if there is none."""
        if not self._before:
            return False
        self._words = self._before.pop()
        self.changed.emit()
        return True

    def _within(self, finding: Finding) -> Peaks:
        """Return the annotated peaks within a finding."""
        return frozenset(place for place in frozenset().union(*self._words) if finding.piece.holds(place))

    def _say(self, finding: Finding, word: Annotation) -> None:
        self._before.append(self.annotations)
        said_of = self._within(finding) or frozenset([finding.top])
        self._words.pop(said_of, None)  # so that the newest comes last
        if word != Annotation() or len(said_of) > 1:  # an empty annotation of a merged finding hides those of its parts
            self._words[said_of] = word
        self.changed.emit()


def merged(words: Iterable[Annotation]) -> Annotation:
    """Combine the annotations of findings that have merged: notes are joined; a verdict is kept if only one was given.

    If verdicts contradict each other, the verdict is open, and the note says so.
    """
    said = list(words)
    if len(said) < 2:
        return said[0] if said else Annotation()
    verdicts = {w.verdict for w in said} - {"open"}
    notes = dict.fromkeys(note for w in said for note in w.note.split(AND) if note)
    if len(verdicts) > 1:
        notes[CONFLICT] = None
    return Annotation(verdicts.pop() if len(verdicts) == 1 else "open", AND.join(notes))
