"""Figures as rows, plots and text to copy."""

import numpy as np
import pytest

from napari_vqad.tuning.binned import ScoreCounts
from napari_vqad.tuning.figure_plots import plots
from napari_vqad.tuning.figure_words import BEST_DICE, as_text, chosen_on, rows
from napari_vqad.tuning.figures import Figures, trouble
from napari_vqad.tuning.labelled_scan import Lesions, ScanCounts

SOME = Lesions(2, 1, 3)


def a_scan(labelled=4, lesions=SOME):
    scores, labels = np.arange(1.0, 9.0), np.arange(8) >= 8 - labelled
    voxels = ScoreCounts.of(scores, labels, np.ones(labelled, int))
    slices, abnormal = np.array([1.0, 2.0, 3.0]), np.array([False, True, bool(labelled)])
    return ScanCounts(
        slices, abnormal & (labelled > 0), voxels, np.array([0.5, 1.0][: bool(labelled) * 2]), lesions, labelled, 0
    )


def in_words(found):
    return {row.name: row.text for row in found}


def test_rows_of_a_scan():
    found = rows(Figures.of([a_scan()]), "SD", "1/1", (6.0, 2.5))
    said = in_words(found)
    assert said["voxel AUROC"] == said["voxel AP"] == said["AUPRO"] == "1.000"
    assert said["AP per image"] == "0.750"
    assert said[BEST_DICE] == "1.000 above 5.00"
    assert (said["sensitivity at slider"], said["precision at slider"]) == ("0.500", "1.000")
    assert (said["lesions found"], said["false findings"]) == ("1 of 2", "3")
    assert all(row.tip for row in found)
    assert "Flagged at 1/1." in found[-1].tip
    text = as_text(found, [("scan", "a")])
    assert text.startswith("scan\ta\nvoxel AUROC\t1\n")
    assert "best Dice, threshold\t5\n" in text


def test_rows_of_several_scans_are_of_all_together():
    said = in_words(rows(Figures.of([a_scan(), a_scan(lesions=Lesions(1, 1, 0))]), "SD", "1/1", None))
    assert (said["lesions found"], said["false findings"]) == ("2 of 3", "1.5 per scan")
    assert "Dice at slider" not in said


def test_without_labels_there_is_a_sentence_and_no_number():
    scan = a_scan(labelled=0, lesions=Lesions(0, 0, 2))
    figures = Figures.of([scan])
    assert trouble([scan]).startswith("No analysed voxel of this scan is labelled")
    found = rows(figures, "SD", "1/1", (6.0, 2.5))
    assert {row.text for row in found} == {"–", "2"}
    assert plots(figures, (6.0, 2.5)) is None
    assert trouble([scan, a_scan()]) == ""  # the scan without labels has negatives for the other


def test_markers_are_at_the_thresholds():
    roc, pr = plots(Figures.of([a_scan()]), (6.0, 2.5))
    assert [line.name for line in roc.lines] == ["voxels", "slices"]
    assert roc.lines[0].marker == (0.0, 0.5)
    assert pr.lines[0].marker == (0.5, 1.0)
    assert roc.lines[1].marker == (0.0, 0.5)
    assert pr.chance == ((0.0, 0.5), (1.0, 0.5))
    assert plots(Figures.of([a_scan()]), None)[0].lines[0].marker is None


@pytest.mark.parametrize(
    ("scans", "shown", "words"),
    [(1, True, "the scan that is shown"), (1, False, "this scan"), (3, False, "these 3 scans")],
)
def test_chosen_thresholds_are_qualified(scans, shown, words):
    assert f"Thresholds chosen on {words} describe" in chosen_on(scans, shown)
