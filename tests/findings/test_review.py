"""Verdicts stay with their findings, and can be taken back."""

import numpy as np
import pytest

from napari_vqad.findings.findings import Finding
from napari_vqad.findings.review import CONFLICT, Review, Word
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
                nll=1.0,
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
    review.take(made(score, 1.0))
    return review


def test_a_verdict_and_a_note_and_back(review):
    first, second = review.found
    review.judge(first, "accepted")
    review.remark(first, "glioma?")
    review.judge(second, "rejected")
    assert (review.word(first), review.word(second)) == (Word("accepted", "glioma?"), Word("rejected"))
    for expected in (
        (Word("accepted", "glioma?"), Word()),
        (Word("accepted"), Word()),
        (Word(), Word()),
    ):
        assert review.undo()
        assert (review.word(first), review.word(second)) == expected
    assert not review.undo()


def test_the_same_verdict_again_takes_it_back(review):
    first = review.found[0]
    review.judge(first, "accepted")
    review.judge(first, "accepted")
    assert review.word(first).verdict == "open"
    review.undo()
    assert review.word(first).verdict == "accepted"


def test_a_verdict_stays_when_the_threshold_moves(review, score):
    broad = next(f for f in review.found if f.peak == 4.0)
    assert broad.number == 1
    review.judge(broad, "rejected")
    review.take(made(score, 3.0))  # the foot is gone, and with it the rank
    small = next(f for f in review.found if f.peak == 4.0)
    assert (small.number, small.piece.voxels) == (2, 1)
    assert review.word(small).verdict == "rejected"
    assert review.word(review.found[0]).verdict == "open"


def test_a_word_on_a_part_holds_for_the_whole(review, score):
    """A peak that lies within a larger piece of another score brings its word along."""
    small = next(f for f in review.found if f.peak == 9.0)
    review.judge(small, "accepted")
    other = score.copy()
    other[1, 4, 4] = 20.0  # the peak moves within the same piece
    review.take(made(other, 1.0))
    moved = next(f for f in review.found if f.peak == 20.0)
    assert moved.top != small.top
    assert review.word(moved).verdict == "accepted"
    review.undo()
    assert review.word(moved) == Word()


def test_another_scan_has_no_verdicts(review, score):
    review.judge(review.found[0], "accepted")
    review.clear()
    assert review.found == []
    review.take(made(score, 1.0))
    assert review.word(review.found[0]) == Word()
    assert not review.undo()


def test_views_hear_of_it(review):
    heard = []
    review.changed.connect(lambda: heard.append(1))
    review.remark(review.found[0], "seen")
    review.remark(review.found[0], "seen")  # nothing new
    review.undo()
    assert len(heard) == 2


def test_a_word_that_was_taken_back_hides_no_neighbours(review, score):
    """Two pieces become one: what was said of the one holds, though something was said and undone of the other."""
    high, low = sorted(review.found, key=lambda f: -f.peak)
    review.judge(low, "accepted")
    review.judge(high, "rejected")
    review.undo()
    joined = score.copy()
    joined[1, 5, 4:23] = np.maximum(joined[1, 5, 4:23], 2.0)  # a bridge
    review.take(made(joined, 1.0))
    (one,) = review.found
    assert one.top == high.top
    assert review.word(one).verdict == "accepted"
    again = Review()
    again.recall(review.words)
    again.take(review.found)
    assert again.word(one) == review.word(one)


def parted(score):
    """The two hills as two findings, the higher one first."""
    return sorted(made(score, 1.0), key=lambda f: -f.peak)


def joined(score):
    """As when the threshold has fallen: the two hills are one finding."""
    bridged = score.copy()
    bridged[1, 5, 4:23] = np.maximum(bridged[1, 5, 4:23], 2.0)
    return made(bridged, 1.0)


def said_of(review, found):
    review.take(found)
    return [review.word(f) for f in found]


@pytest.mark.parametrize(
    ("high", "low", "one"),
    [
        (Word("accepted", "glioma"), Word("rejected", "vessel"), Word("open", f"glioma; vessel; {CONFLICT}")),
        (Word("rejected"), Word("accepted"), Word("open", CONFLICT)),
        (Word("accepted", "dark"), Word("accepted", "dark"), Word("accepted", "dark")),
        (Word("rejected", "dark; thin"), Word("rejected", "thin; long"), Word("rejected", "dark; thin; long")),
        (Word("accepted"), Word("open", "vessel?"), Word("accepted", "vessel?")),
        (Word(), Word("rejected", "vessel"), Word("rejected", "vessel")),
    ],
)
def test_findings_that_merge_and_part_again(score, high, low, one):
    review = Review()
    review.take(parted(score))
    for finding, word in zip(parted(score), (high, low), strict=True):
        if word.verdict != "open":
            review.judge(finding, word.verdict)
        review.remark(finding, word.note)
    assert said_of(review, joined(score)) == [one]
    assert said_of(review, parted(score)) == [high, low]
    while review.undo():
        pass
    assert said_of(review, joined(score)) == [Word()]


@pytest.fixture
def torn(score):
    """One accepted, one rejected, now merged."""
    review = Review()
    review.take(parted(score))
    for finding, verdict, note in zip(review.found, ("accepted", "rejected"), ("glioma", "vessel"), strict=True):
        review.judge(finding, verdict)
        review.remark(finding, note)
    review.take(joined(score))
    return review


def test_what_is_said_of_the_whole_is_not_said_of_its_parts(torn, score):
    (whole,) = torn.found
    torn.judge(whole, "accepted")
    torn.remark(whole, "glioma with its vessel")
    apart = [Word("accepted", "glioma"), Word("rejected", "vessel")]
    assert said_of(torn, parted(score)) == apart
    assert said_of(torn, joined(score)) == [Word("accepted", "glioma with its vessel")]
    again = Review()
    again.recall(torn.words)
    assert said_of(again, joined(score)) == [Word("accepted", "glioma with its vessel")]
    assert said_of(again, parted(score)) == apart
    torn.undo()
    torn.undo()
    assert torn.word(whole) == Word("open", f"glioma; vessel; {CONFLICT}")
    assert said_of(torn, parted(score)) == apart


def test_a_verdict_on_the_whole_can_be_taken_back_by_its_key(score):
    review = Review()
    review.take(parted(score))
    for finding in review.found:
        review.judge(finding, "accepted")
    (whole,) = joined(score)
    assert review.word(whole) == Word("accepted")
    review.judge(whole, "accepted")
    assert review.word(whole) == Word()
    assert said_of(review, parted(score)) == [Word("accepted")] * 2


def test_a_later_word_on_a_part_counts_beside_that_on_the_whole(torn, score):
    torn.judge(torn.found[0], "accepted")
    torn.remark(torn.found[0], "glioma")
    high, _ = parted(score)
    torn.judge(high, "rejected")
    assert said_of(torn, joined(score)) == [Word("open", f"glioma; {CONFLICT}")]
