"""What is kept within a byte budget: pictures go before codes, the oldest first, those in use never."""

import numpy as np

from napari_vqad.engine.store import Budget, Restorations

CODES, PIXELS = (2, 2), (8, 8)
PICTURE = 2 * 8 * 8  # bytes


def filled(slices=2, chains=3):
    kept = Restorations(slices, CODES, PIXELS)
    for i in range(slices):
        kept.add_codes(i, np.full((chains, *CODES), i, np.int16))
        kept.add_pictures(i, np.full((chains, *PIXELS), i, np.float16))
    return kept


def test_grows_by_what_is_added():
    kept = Restorations(2, CODES, PIXELS)
    assert (kept.restored(0), kept.shown(0), kept.nbytes) == (0, 0, 0)
    kept.add_codes(0, np.ones((3, *CODES), np.int16))
    kept.add_codes(0, np.zeros((1, *CODES), np.int16))
    kept.add_pictures(0, np.ones((2, *PIXELS), np.float16))
    assert (kept.restored(0), kept.shown(0), kept.restored(1)) == (4, 2, 0)
    assert kept.codes[0][:, 0, 0].tolist() == [1, 1, 1, 0]
    assert kept.nbytes == 4 * 2 * 4 + 2 * PICTURE


def test_versions_tell_that_pictures_changed():
    a, b = filled(), filled()
    assert len({*a.version, *b.version}) == 4
    before = a.version[1]
    a.add_pictures(1, np.zeros((1, *PIXELS), np.float16))
    assert a.version[1] != before


def test_inherits_a_slice():
    a, b = Restorations(2, CODES, PIXELS), filled()
    a.inherit(1, b)
    assert (a.shown(0), a.shown(1)) == (0, 3)
    np.testing.assert_array_equal(a.codes[1], b.codes[1])
    assert a.version[1] not in b.version


def test_pictures_of_the_oldest_go_first_and_codes_stay():
    one = filled().nbytes
    budget = Budget(int(2.5 * one))
    for i in range(4):
        budget.put(("light", float(i), 0), filled())
    assert budget.nbytes <= budget.n_bytes
    shown = [budget.get(("light", float(i), 0)).shown(0) for i in range(4)]
    assert shown[3] == 3
    assert shown[:2] == [0, 0]
    assert all(budget.get(("light", float(i), 0)).restored(1) == 3 for i in range(4))


def test_what_is_in_use_is_kept_whatever_its_size():
    budget = Budget(1)
    budget.put(("light", 0.0, 0), filled())
    budget.put(("light", 1.0, 0), filled())
    assert budget.get(("light", 0.0, 0)) is None
    assert budget.get(("light", 1.0, 0)).shown(0) == 3


def test_near_is_of_the_same_method_and_seed_and_the_nearest_first():
    budget = Budget(2**20)
    for key in (("light", 1.0, 0), ("light", 4.0, 0), ("light", 2.5, 0), ("light", 2.1, 1), ("anchored", 2.1, 0)):
        budget.put(key, filled())
    assert [p for p, _ in budget.near(("light", 2.0, 0))] == [2.5, 1.0, 4.0]
    assert [p for p, _ in budget.near(("light", 2.5, 0))] == [1.0, 4.0]
    assert budget.near(("sequential", 2.0, 0)) == []
