"""Findings are pieces above a threshold, weightiest first; a bright cube is the first."""

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.calibration import Calibration
from napari_vqad.detectors.settings import Settings
from napari_vqad.evaluate.lesion_detection import evaluate_scan, table
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import write_map
from napari_vqad.scores.components import count, find


def test_pieces_by_their_weight():
    score = np.zeros((8, 20, 20), np.float32)
    score[1:4, 2:5, 2:5] = 2.0  # 27 voxels
    score[2, 3, 3] = 9.0
    score[5:7, 10:16, 10:16] = 1.5  # 72 voxels: more in all
    score[0, 18, 18] = 50.0  # too small
    first, second = find(score, 1.0)
    assert (first.voxels, first.peak, first.mass) == (72, 1.5, 108.0)
    assert (second.voxels, second.peak) == (27, 9.0)
    assert second.box == (slice(1, 4), slice(2, 5), slice(2, 5))
    assert second.inside.all()
    assert (second.indices.min(0).tolist(), second.indices.max(0).tolist()) == ([1, 2, 2], [3, 4, 4])
    assert count(score > 1.0) == 2
    assert find(score, 60.0) == []


def test_the_threshold_of_one_finding_is_where_the_last_of_them_goes():
    calibration = Calibration(
        n_scans=1, n_slices=1, levels=[0, 50, 90, 100], nll=[0, 1, 2, 3], slice_score={}, residual={},
        pixel_score={"x": [0.0, 1.0, 2.0, 3.0]}, findings={"x": [1.0, 5.0, 3.0, 0.0]},
    )  # fmt: skip
    assert calibration.threshold_for_rate("x") == pytest.approx(2 + 2 / 3)
    assert calibration.threshold_for_rate("x", 3.0) == pytest.approx(2.0)


def test_a_bright_cube_is_the_first_finding(head, tiny_bundle, tiny_masked, tmp_path):
    volume, mask = head
    label = np.zeros(mask.shape, bool)
    label[12:18, 14:20, 12:18] = True
    bright = Volume(np.where(label, 4000, volume.voxels).astype(np.float32), volume.affine, volume.affine)
    paths = {n: tmp_path / f"a_{n}.nii.gz" for n in ("t1", "mask", "label")}
    for name, array in (("t1", bright.voxels), ("mask", mask.astype(np.uint8)), ("label", label.astype(np.uint8))):
        write_map(paths[name], array, volume)
    bundle = Bundle.load(tiny_bundle, "cpu")
    settings = Settings(method="regenerative")
    found = evaluate_scan(bundle, settings, paths["t1"], paths["mask"], paths["label"])
    assert found.rank == 1
    assert found.recall > 0.5
    unknown = evaluate_scan(bundle, settings, paths["t1"], paths["mask"], None)
    assert (unknown.findings, unknown.rank) == (found.findings, None)
    assert "| a_t1 |" in table([found, unknown])
    # A model with another prior, nobody having chosen a method.
    assert (
        evaluate_scan(Bundle.load(tiny_masked, "cpu"), Settings(), paths["t1"], paths["mask"], paths["label"]).rank == 1
    )
