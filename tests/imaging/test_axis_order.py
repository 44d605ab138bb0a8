"""An array lies as the user says."""

import numpy as np
import pytest
from nibabel.orientations import aff2axcodes

from napari_vqad.imaging.axis_order import ALL, USUAL, in_words, with_axes
from napari_vqad.imaging.volume import Volume


@pytest.mark.parametrize("codes", ALL)
def test_all_48_are_understood(codes):
    """A voxel that lies at the patient's right, front and top lands there, and the array comes back as it was."""
    array = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    unknown = Volume.from_array(array, np.diag([-3.0, -2.0, 1.0, 1.0]), side_known=False, name="mine")
    found = with_axes(unknown, codes)
    assert found.side_known
    assert "".join(aff2axcodes(found.file_affine)) == codes
    np.testing.assert_array_equal(found.to_file(found.voxels), array)
    corner = tuple(-1 if c in "RAS" else 0 for c in codes)  # of the array, at the end of each axis to R, A, S
    assert found.voxels[-1, -1, -1] == array[corner]
    spacing = dict(zip(codes, (3.0, 2.0, 1.0), strict=True))
    expected = [next(v for c, v in spacing.items() if c in pair) for pair in ("RL", "AP", "SI")]
    np.testing.assert_allclose(found.spacing, expected)
    middle = found.affine @ [*((np.array(found.voxels.shape) - 1) / 2), 1]
    np.testing.assert_allclose(middle[:3], 0, atol=1e-9)


def test_there_are_48_and_the_usual_ones_come_first():
    assert len(ALL) == len(set(ALL)) == 48
    assert ALL[: len(USUAL)] == USUAL
    assert in_words("SPL") == "to top, back, left"
