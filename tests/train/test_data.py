"""Stacks: packing, splits, the brain of a parcellation."""

import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.imaging.grid import Grid
from napari_vqad.imaging.grid_spec import GridSpec
from napari_vqad.train.data import Stack, brain_of_parcellation, ixi_subjects, split_of

SPEC = GridSpec(shape=(16, 24))


def grid(n, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((n, 16, 24)) > 0.5
    slices = np.where(mask, rng.normal(size=mask.shape), -2).astype(np.float32)
    return Grid.of_slices(slices, mask, np.linspace(-0.5, 0.5, n, dtype=np.float32), 2.0)


def test_a_stack_survives_packing(tmp_path):
    grids = [grid(3, 0), grid(4, 1)]
    stack = Stack.of(grids, SPEC)
    stack.save(tmp_path / "a.npz")
    again = Stack.load(tmp_path / "a.npz")
    step = (SPEC.clip[1] - SPEC.clip[0]) / 255
    for before, after in zip(grids, again.grids(SPEC), strict=True):
        np.testing.assert_allclose(after.slices, np.clip(before.slices, *SPEC.clip), atol=0.51 * step)
        np.testing.assert_array_equal(after.mask, before.mask)
        np.testing.assert_array_equal(after.position, before.position)


def test_refuses_what_is_no_stack(tmp_path):
    (tmp_path / "b.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"b\.npz"):
        Stack.load(tmp_path / "b.npz")


def test_splits_share_no_subject():
    assert [split_of(i) for i in (0, 1, 2, 9, 10, 11, 30)] == [
        "validation", "calibration", "train", "train", "validation", "calibration", "validation",
    ]  # fmt: skip


def test_says_when_there_are_no_scans(tmp_path):
    with pytest.raises(InputError, match="t1/"):
        ixi_subjects(tmp_path, "train")


def test_brain_of_a_parcellation_is_closed_filled_and_one_piece():
    labels = np.zeros((30, 30, 30))
    labels[5:20, 5:20, 5:20] = 7
    labels[10:14, 10:14, 10:14] = 0  # a ventricle without a label
    labels[5:20, 12, 5:20] = 0  # a thin fissure
    labels[26:28, 26:28, 26:28] = 3  # a stray piece
    brain = brain_of_parcellation(labels)
    assert brain[6:19, 6:19, 6:19].all()
    assert not brain[26:28, 26:28, 26:28].any()


def test_the_real_splits(shared_data):
    found = {s: len(ixi_subjects(shared_data / "ixi_t1_2mm", s)) for s in ("train", "validation", "calibration")}
    assert found == {"train": 102, "validation": 13, "calibration": 13}
