"""Which faces of a picture cut a mask."""

import numpy as np
import pytest

from napari_vqad.imaging.field_of_view import cut_faces, in_words

BALL = np.linalg.norm(np.indices((40, 40, 40)) - 19.5, axis=0) < 16


def test_a_picture_cropped_to_the_mask_cuts_nothing():
    box = tuple(slice(i.min(), i.max() + 1) for i in np.nonzero(BALL))
    assert cut_faces(BALL) == []
    assert cut_faces(BALL[box], least=0.2) == []


@pytest.mark.parametrize(
    ("box", "faces", "words"),
    [
        (np.s_[:, :, :30], [(2, True)], "top"),
        (np.s_[:, :, 10:], [(2, False)], "bottom"),
        (np.s_[12:, :28], [(0, False), (1, True)], "left and front"),
        (np.s_[:30, 12:], [(0, True), (1, False)], "right and back"),
    ],
)
def test_cut_faces_are_named(box, faces, words):
    found = cut_faces(BALL[box])
    assert found == faces
    assert in_words(found) == words


def test_an_empty_mask_is_not_cut():
    assert cut_faces(np.zeros((4, 4, 4), bool)) == []
