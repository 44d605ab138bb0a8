"""Axis orders, signs and spacings: nothing may land at another place than the patient has it."""

from itertools import permutations, product

import numpy as np
import pytest

from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume

SPACING = np.array([2.0, 3.0, 1.5])  # mm along the file's axes
SHAPE = (9, 8, 11)
TURN = np.radians(17.0)
OBLIQUE = np.array([[1, 0, 0], [0, np.cos(TURN), -np.sin(TURN)], [0, np.sin(TURN), np.cos(TURN)]])
ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def affine_of(order, signs, turn=None):
    """File axis i runs along world axis order[i], in the direction signs[i]; `turn` rotates the world."""
    affine = np.eye(4)
    affine[:3, :3] = 0
    for i, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        affine[axis, i] = sign * SPACING[i]
    if turn is not None:
        affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (-11.0, 7.0, 23.0)
    return affine


def world(affine, index):
    return affine[:3, :3] @ np.asarray(index) + affine[:3, 3]


@pytest.mark.parametrize("turn", [None, OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_a_voxel_lies_where_the_file_has_it(order, signs, turn):
    affine, index = affine_of(order, signs, turn), (6, 1, 8)
    array = np.zeros(SHAPE, np.int16)
    array[index] = 1000
    volume = Volume.from_array(array, affine)
    (found,) = np.argwhere(volume.voxels == 1000)
    np.testing.assert_allclose(world(volume.affine, found), world(affine, index), atol=1e-9)
    # Indices grow to the right, to the front and upwards, whatever the file does.
    assert (np.diag(volume.affine)[:3] > 0).all()
    assert np.abs(volume.affine[:3, :3]).argmax(0).tolist() == [0, 1, 2]
    np.testing.assert_allclose(volume.spacing, SPACING[np.argsort(order)])
    assert np.array_equal(volume.to_file(volume.voxels), array)


def test_an_affine_without_directions_is_refused():
    with pytest.raises(InputError, match="without a direction"):
        Volume.from_array(np.zeros((3, 3, 3)), np.diag([1.0, 0, 1, 1]))
