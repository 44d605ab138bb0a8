"""Verdicts stay with their findings, and can be taken back."""

import numpy as np
import pytest

from napari_vqad.findings.findings import Evidence, Finding
from napari_vqad.findings.review import CONFLICT, Annotation, Review
from napari_vqad.scores.components import find


def made(score, threshold):
    """Findings as far as a review looks at them."""
    found = []
    for number, piece in enumerate(find(score, threshold, least=1), start=1):
        x, y, z = (int(v) for v in piece.indices[score[piece.box][piece.inside].argmax()])
        found.append(
            Finding(
                number,
                side="left",
                centre=(0, 0, 0),
                head=(0, 0, 0),
                slices=(0, 0),
                numbers=(0, 0),
                reach=(0.0, 0.0),
                ml=1.0,
                peak=piece.peak,
                mean=piece.mean,
                unit="SD",
                evidence=(Evidence("nll", "NLL", "nats", 1.0),),
                piece=piece,
                top=(x, y, z),
            )
        )
    return found


@pytest.fixture
def score():
    """Two hills, the lower one with a broad foot."""
    score = np.zeros((3, 12, 24), np.float32)
    score[1, 4:7, 4:7], score[1, 5, 5] = 5.0, 9.0
    score[0:3, 2:11, 14:23], score[1, 6, 18] = 2.0, 4.0
    return score


@pytest.fixture
def review(score):
    review = Review()
    review.set_findings(made(score, 1.0))
    return review


def test_a_verdict_and_a_note_and_back(review):
    first, second = review.found
    review.set_verdict(first, "accepted")
    review.set_note(first, "glioma?")
    review.set_verdict(second, "rejected")
    assert (review.annotation(first), review.annotation(second)) == (
        Annotation("accepted", "glioma?"),
        Annotation("rejected"),
    )
    for expected in (
        (Annotation("accepted", "glioma?"), Annotation()),
        (Annotation("accepted"), Annotation()),
        (Annotation(), Annotation()),
    ):
        assert review.undo()
        assert (review.annotation(first), review.annotation(second)) == expected
    assert not review.undo()


def test_the_same_verdict_again_takes_it_back(review):
    first = review.found[0]
    review.set_verdict(first, "accepted")
    review.set_verdict(first, "accepted")
    assert review.annotation(first).verdict == "open"
    review.undo()
    assert review.annotation(first).verdict == "accepted"


def test_a_verdict_stays_when_the_threshold_moves(review, score):
    broad = next(f for f in review.found if f.peak == 4.0)
    assert broad.number == 1
    review.set_verdict(broad, "rejected")
    review.set_findings(made(score, 3.0))  # the foot is gone, and with it the rank
    small = next(f for f in review.found if f.peak == 4.0)
    assert (small.number, small.piece.voxels) == (2, 1)
    assert review.annotation(small).verdict == "rejected"
    assert review.annotation(review.found[0]).verdict == "open"


def test_a_word_on_a_part_holds_for_the_whole(review, score):
    """A peak that lies within a larger piece of another score brings its word along."""
    small = next(f for f in review.found if f.peak == 9.0)
    review.set_verdict(small, "accepted")
    other = score.copy()
    other[1, 4, 4] = 20.0  # the peak moves within the same piece
    review.set_findings(made(other, 1.0))
    moved = next(f for f in review.found if f.peak == 20.0)
    assert moved.top != small.top
    assert review.annotation(moved).verdict == "accepted"
    review.undo()
    assert review.annotation(moved) == Annotation()


def test_another_scan_has_no_verdicts(review, score):
    review.set_verdict(review.found[0], "accepted")
    review.clear()
    assert review.found == []
    review.set_findings(made(score, 1.0))
    assert review.annotation(review.found[0]) == Annotation()
    assert not review.undo()


def test_views_hear_of_it(review):
    heard = []
    review.changed.connect(lambda: heard.append(1))
    review.set_note(review.found[0], "seen")
    review.set_note(review.found[0], "seen")  # nothing new
    review.undo()
    assert len(heard) == 2


def test_a_word_that_was_taken_back_hides_no_neighbours(review, score):
    """Two pieces become one: what was said of the one holds, though something was said and undone of the other."""
    high, low = sorted(review.found, key=lambda f: -f.peak)
    review.set_verdict(low, "accepted")
    review.set_verdict(high, "rejected")
    review.undo()
    joined = score.copy()
    joined[1, 5, 4:23] = np.maximum(joined[1, 5, 4:23], 2.0)  # a bridge
    review.set_findings(made(joined, 1.0))
    (one,) = review.found
    assert one.top == high.top
    assert review.annotation(one).verdict == "accepted"
    again = Review()
    again.restore(review.annotations)
    again.set_findings(review.found)
    assert again.annotation(one) == review.annotation(one)


def parted(score):
    """The two hills as two findings, the higher one first."""
    return sorted(made(score, 1.0), key=lambda f: -f.peak)


def joined(score):
    """As when the threshold has fallen: the two hills are one finding."""
    bridged = score.copy()
    bridged[1, 5, 4:23] = np.maximum(bridged[1, 5, 4:23], 2.0)
    return made(bridged, 1.0)


def said_of(review, found):
    review.set_findings(found)
    return [review.annotation(f) for f in found]


@pytest.mark.parametrize(
    ("high", "low", "one"),
    [
        (
            Annotation("accepted", "glioma"),
            Annotation("rejected", "vessel"),
            Annotation("open", f"glioma; vessel; {CONFLICT}"),
        ),
        (Annotation("rejected"), Annotation("accepted"), Annotation("open", CONFLICT)),
        (Annotation("accepted", "dark"), Annotation("accepted", "dark"), Annotation("accepted", "dark")),
        (
            Annotation("rejected", "dark; thin"),
            Annotation("rejected", "thin; long"),
            Annotation("rejected", "dark; thin; long"),
        ),
        (Annotation("accepted"), Annotation("open", "vessel?"), Annotation("accepted", "vessel?")),
        (Annotation(), Annotation("rejected", "vessel"), Annotation("rejected", "vessel")),
    ],
)
def test_findings_that_merge_and_part_again(score, high, low, one):
    review = Review()
    review.set_findings(parted(score))
    for finding, word in zip(parted(score), (high, low), strict=True):
        if word.verdict != "open":
            review.set_verdict(finding, word.verdict)
        review.set_note(finding, word.note)
    assert said_of(review, joined(score)) == [one]
    assert said_of(review, parted(score)) == [high, low]
    while review.undo():
        pass
    assert said_of(review, joined(score)) == [Annotation()]


@pytest.fixture
def torn(score):
    """One accepted, one rejected, now merged."""
    review = Review()
    review.set_findings(parted(score))
    for finding, verdict, note in zip(review.found, ("accepted", "rejected"), ("glioma", "vessel"), strict=True):
        review.set_verdict(finding, verdict)
        review.set_note(finding, note)
    review.set_findings(joined(score))
    return review


def test_what_is_said_of_the_whole_is_not_said_of_its_parts(torn, score):
    (whole,) = torn.found
    torn.set_verdict(whole, "accepted")
    torn.set_note(whole, "glioma with its vessel")
    apart = [Annotation("accepted", "glioma"), Annotation("rejected", "vessel")]
    assert said_of(torn, parted(score)) == apart
    assert said_of(torn, joined(score)) == [Annotation("accepted", "glioma with its vessel")]
    again = Review()
    again.restore(torn.annotations)
    assert said_of(again, joined(score)) == [Annotation("accepted", "glioma with its vessel")]
    assert said_of(again, parted(score)) == apart
    torn.undo()
    torn.undo()
    assert torn.annotation(whole) == Annotation("open", f"glioma; vessel; {CONFLICT}")
    assert said_of(torn, parted(score)) == apart


def test_a_verdict_on_the_whole_can_be_taken_back_by_its_key(score):
    review = Review()
    review.set_findings(parted(score))
    for finding in review.found:
        review.set_verdict(finding, "accepted")
    (whole,) = joined(score)
    assert review.annotation(whole) == Annotation("accepted")
    review.set_verdict(whole, "accepted")
    assert review.annotation(whole) == Annotation()
    assert said_of(review, parted(score)) == [Annotation("accepted")] * 2


def test_a_later_word_on_a_part_counts_beside_that_on_the_whole(torn, score):
    torn.set_verdict(torn.found[0], "accepted")
    torn.set_note(torn.found[0], "glioma")
    high, _ = parted(score)
    torn.set_verdict(high, "rejected")
    assert said_of(torn, joined(score)) == [Annotation("open", f"glioma; {CONFLICT}")]
