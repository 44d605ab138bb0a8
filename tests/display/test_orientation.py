"""Directions as letters."""

import pytest

from napari_vqad.display.orientation import letters


@pytest.mark.parametrize(
    ("direction", "expected"),
    [((1, 0, 0), "R"), ((-0.9, 0.4, 0), "LA"), ((0.1, 0, -1), "I"), ((0.3, -0.5, 0.7), "SPR")],
)
def test_a_direction_in_letters(direction, expected):
    assert letters(direction) == expected
