"""Discs of changed intensity or texture, against loops over their pixels."""

import numpy as np
import pytest

from napari_vqad.simulate.discs import TEXTURES, Disc, constant, random_disc, shuffle, sink, source


@pytest.fixture
def image():
    return np.random.default_rng(0).random((20, 24))


@pytest.fixture
def mask():
    mask = np.zeros((20, 24), bool)
    mask[2:19, 3:22] = True
    return mask


DISC = Disc((9.0, 6.0), 5.0)


def taken_from(kind, place, exponent):
    centre = np.array(DISC.centre)
    s = (np.hypot(*(place - centre)) / DISC.radius) ** exponent
    return place + (1 - s) * (place - centre) if kind == "sink" else centre + s * (place - centre)


@pytest.mark.parametrize("kind", ["sink", "source"])
@pytest.mark.parametrize("exponent", [1.0, 2.0])
def test_a_deformation_takes_each_pixel_from_where_the_equation_says(image, mask, kind, exponent):
    inside = DISC.pixels(mask)
    changed = TEXTURES[kind](image, DISC, inside, exponent, np.random.default_rng(0))
    assert np.array_equal(changed[~inside], image[~inside])
    for place in np.argwhere(inside):
        row, column = np.clip(np.rint(taken_from(kind, place, exponent)), 0, (19, 23)).astype(int)
        assert changed[tuple(place)] == image[row, column]
    assert not np.array_equal(changed, image)


def test_at_the_rim_and_the_centre_a_deformation_changes_nothing(image, mask):
    inside = DISC.pixels(mask)
    for changed in (sink(image, DISC, inside), source(image, DISC, inside)):
        assert changed[9, 6] == image[9, 6]
        assert changed[9, 11] == image[9, 11]


def test_shuffled_pixels_are_the_same_ones(image, mask):
    inside = DISC.pixels(mask)
    changed = shuffle(image, inside, np.random.default_rng(3))
    assert sorted(changed[inside]) == sorted(image[inside])
    assert not np.array_equal(changed, image)
    assert np.array_equal(changed[~inside], image[~inside])


def test_a_disc_ends_at_its_radius_and_at_the_mask(image, mask):
    inside = Disc((2.0, 3.0), 4.0).pixels(mask)
    assert not inside[~mask].any()
    assert inside[6, 3]
    assert not inside[7, 3]
    changed = constant(image, inside, 0.25)
    assert (changed[inside] == 0.25).all()
    assert np.array_equal(changed[~inside], image[~inside])


def test_discs_are_centred_within_the_mask_and_repeat_with_the_seed(mask):
    drawn = [random_disc(mask, 3.0, np.random.default_rng(seed)) for seed in (*range(20), 0)]
    assert all(mask[int(d.centre[0]), int(d.centre[1])] for d in drawn)
    assert len({d.centre for d in drawn}) > 10
    assert drawn[0] == drawn[-1]
