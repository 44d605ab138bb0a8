"""Thresholds in words."""

import pytest

from napari_vqad.display.thresholds import before, rate_in_words


@pytest.mark.parametrize(
    ("value", "words"),
    [("1/1", "1 false finding per healthy scan"), ("1/3", "1 false finding per 3 healthy scans"), ("p98", "p98")],
)
def test_a_rate_of_false_findings_is_said_in_words(value, words):
    assert rate_in_words(value) == words


def test_before_an_analysis_a_threshold_says_what_it_means():
    assert before("flag_voxels", "1/3") == "1 false finding per 3 healthy scans; its number is shown after an analysis."
    assert before("flag_slices", "p95") == "Above 95 % of healthy slices; its number is shown after an analysis."
    assert before("flag_voxels", 3.0) == ""
