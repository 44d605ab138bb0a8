"""Labels on a scan's voxels: as they are, resampled, or from a folder of files."""

import csv

import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.io.nifti import read_scan, write_map
from napari_vqad.tuning.truth import is_on, on_scan, read_truth


@pytest.fixture
def label(head):
    found = np.zeros(head[1].shape, bool)
    found[12:18, 14:20, 12:18] = True
    return found


def test_labels_on_the_scan_are_not_touched(head, label):
    truth = on_scan(label, head[0].affine, head[0], "a layer")
    assert truth.voxels is label
    assert truth.note == ""


def test_labels_on_another_grid_are_resampled_with_a_sentence(head, label):
    fine = np.kron(label, np.ones((2, 2, 2), bool))
    affine = head[0].affine @ np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] = head[0].affine[:3, :3] @ np.full(3, -0.25) + head[0].affine[:3, 3]
    assert not is_on(fine.shape, affine, head[0])
    truth = on_scan(fine, affine, head[0], "a layer")
    assert np.array_equal(truth.voxels, label)
    assert "60×64×56 and 30×32×28 voxels" in truth.note


def test_labels_of_another_place_are_refused(head, label):
    away = head[0].affine.copy()
    away[:3, 3] += 1000
    with pytest.raises(InputError, match=r"The voxels of the layer 'x' do not overlap"):
        on_scan(label, away, head[0], "the layer 'x'")
    near = head[0].affine.copy()
    near[:3, 3] += head[0].spacing * 2  # same shape, two voxels away
    assert np.array_equal(on_scan(label, near, head[0], "x").voxels[14:20, 16:22, 14:20], np.ones((6, 6, 6), bool))


def test_names_are_those_of_evaluate(case_folder, label):
    lesion, normal = (read_scan(case_folder / f"{name}_t1.nii.gz") for name in ("case01", "case00"))
    assert np.array_equal(read_truth(case_folder, lesion).voxels, label)
    truth = read_truth(case_folder, normal)
    assert not truth.voxels.any()
    assert "normal" in truth.note


@pytest.mark.parametrize("name", ["case01_label", "case01_gold", "case01_t1", "case01", "case01_t1_label"])
def test_a_folder_of_labels_alone(case_folder, label, name):
    scan, other = read_scan(case_folder / "case01_t1.nii.gz"), case_folder / "labels"
    other.mkdir()
    write_map(other / f"{name}.nii", label.astype(np.uint8), scan)
    truth = read_truth(other, scan)
    assert np.array_equal(truth.voxels, label)
    assert truth.source == f"{name}.nii"


def test_files_that_do_not_fit_are_refused(case_folder, label):
    scan, other = read_scan(case_folder / "case01_t1.nii.gz"), case_folder / "labels"
    other.mkdir()
    with pytest.raises(InputError, match=r"no label file for case01_t1, such as case01_label\.nii\.gz"):
        read_truth(other, scan)
    with (other / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["case", "kind"], ["case01", "cube"]])
    with pytest.raises(InputError, match="no label file"):
        read_truth(other, scan)
    for name in ("case01_label", "case01_gold"):
        write_map(other / f"{name}.nii.gz", label.astype(np.uint8), scan)
    with pytest.raises(InputError, match="several label files"):
        read_truth(other, scan)
    (other / "case01_gold.nii.gz").unlink()
    import nibabel

    nibabel.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)).to_filename(other / "case01_label.nii.gz")
    with pytest.raises(InputError, match="must agree"):
        read_truth(other, scan)
