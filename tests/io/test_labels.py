"""Labels are told from scans, by header, name and values."""

from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from napari_vqad.imaging.volume import Volume
from napari_vqad.io.labels import holds_labels
from napari_vqad.io.nifti import read_scan
from napari_vqad.resources import samples_folder

AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def volume_of(array, name="scan"):
    return Volume.from_array(np.asarray(array), AFFINE, name=name)


def areas(values):
    """Boxes of values in an empty picture."""
    array = np.zeros((40, 40, 40), np.float32)
    for n, value in enumerate(values):
        i, j, k = n % 4, n // 4 % 4, n // 16
        array[10 * i + 2 : 10 * i + 9, 10 * j + 2 : 10 * j + 9, 10 * k + 2 : 10 * k + 9] = value
    return array


@pytest.mark.parametrize("values", [(1,), (255,), (0.003921,), (1, 2, 3), range(1, 40), (17, 53, 1001, 2035)])
def test_areas_of_whole_numbers_are_labels(values):
    assert holds_labels(volume_of(areas(values)))


def test_a_ragged_mask_of_many_lesions_is_labels_by_its_name():
    rng = np.random.default_rng(0)
    sparse = np.where(rng.random((40, 40, 40)) < 0.04, rng.integers(1, 4, (40, 40, 40)), 0)
    sparse = np.repeat(sparse, 2, axis=0)  # two voxels each
    assert holds_labels(volume_of(sparse, "sub-01_lesions"))


def test_the_headers_intent_counts(tmp_path):
    noisy = np.random.default_rng(0).integers(1, 300, (12, 12, 12)).astype(np.int16)
    image = nib.Nifti1Image(noisy, AFFINE)
    nib.save(image, tmp_path / "a.nii.gz")
    image.header.set_intent("label")
    nib.save(image, tmp_path / "b.nii.gz")
    assert [holds_labels(read_scan(tmp_path / f"{n}.nii.gz")) for n in "ab"] == [False, True]


@pytest.mark.parametrize("file", ["lesions_label", "lesions_brain", "healthy_brain"])
def test_those_of_the_sample_are_labels(file):
    assert holds_labels(read_scan(samples_folder() / f"{file}.nii.gz"))


@pytest.mark.parametrize("file", ["lesions_t1", "healthy_t1"])
def test_heads_are_none_whatever_they_are_called(file):
    """In 8 bits, in 5 bits, stripped, and with a name that speaks of a mask."""
    head, brain = (read_scan(samples_folder() / f"{name}.nii.gz") for name in (file, "healthy_brain"))
    eight = np.rint(255 * np.clip(head.voxels / head.voxels.max(), 0, 1)).astype(np.float32)
    for voxels in (head.voxels, eight, np.where(brain.voxels > 0, eight, 0), np.rint(eight / 4)):
        for name in ("t1", "t1_masked", "t1_mask"):
            assert not holds_labels(replace(head, voxels=voxels.astype(np.float32), name=name))


def test_of_real_scans_and_labels(shared_data):
    found = {p.name: holds_labels(read_scan(p)) for p in sorted((shared_data / "lesions").glob("*.nii.gz"))}
    labels = {n for n, holds in found.items() if holds}
    assert labels == {n for n in found if any(w in n for w in ("_label", "_mask", "_gold"))}
