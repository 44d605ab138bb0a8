"""Verdicts stay with their findings, and can be taken back."""

import numpy as np
import pytest

from napari_vqad.findings import Finding
from napari_vqad.review import Review, Word
from napari_vqad.scores.findings import find


def made(score, threshold):
    """Findings as far as a review looks at them."""
    found = []
    for number, piece in enumerate(find(score, threshold, least=1), start=1):
        x, y, z = (int(v) for v in piece.indices[score[piece.box][piece.inside].argmax()])
        found.append(
            Finding(number, "left", (0, 0, 0), (0, 0), (0.0, 0.0), 1.0, piece.peak, piece.mean, 1.0, piece, (x, y, z))
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
