"""What is kept within a byte budget: what can be rebuilt goes before the rest, the oldest first, those in use never."""

import numpy as np

from napari_vqad.detectors.protocol import Stage
from napari_vqad.engine.store import ByteBudget, Key, PhaseResults, StageResults

CODES, PIXELS = (2, 2), (8, 8)
PICTURE = 2 * 8 * 8  # bytes
STAGES = (Stage("codes", "Codes"), Stage("pictures", "Pictures", rebuildable=True))


def key(method, lambda_p, seed=0):
    return Key("pictures", (("lambda_p", lambda_p), ("method", method), ("seed", seed)))


def filled(slices=2, chains=3):
    kept = PhaseResults(STAGES, slices, None)
    for i in range(slices):
        kept["codes"].add(i, {"c": np.full((chains, *CODES), i, np.int16)})
        kept["pictures"].add(i, {"p": np.full((chains, *PIXELS), i, np.float16)})
    return kept


def test_grows_by_what_is_added():
    kept = StageResults(2)
    assert (kept.count(0), kept.nbytes) == (0, 0)
    kept.add(0, {"c": np.ones((3, *CODES), np.int16)})
    kept.add(0, {"c": np.zeros((1, *CODES), np.int16)})
    assert (kept.count(0), kept.count(1)) == (4, 0)
    assert kept.arrays[0]["c"][:, 0, 0].tolist() == [1, 1, 1, 0]
    assert kept.nbytes == 4 * 2 * 4


def test_versions_tell_that_arrays_changed():
    a, b = filled()["pictures"], filled()["pictures"]
    assert len({*a.version, *b.version}) == 4
    before = a.version[1]
    a.add(1, {"p": np.zeros((1, *PIXELS), np.float16)})
    assert a.version[1] != before


def test_takes_over_a_slice_with_its_version():
    a, b = StageResults(2), filled()["codes"]
    a.take(1, b)
    assert (a.count(0), a.count(1)) == (0, 3)
    np.testing.assert_array_equal(a.arrays[1]["c"], b.arrays[1]["c"])
    assert a.version[1] == b.version[1]
    a.add(1, {"c": np.zeros((1, *CODES), np.int16)})
    assert (a.count(1), b.count(1)) == (4, 3)
    assert a.version[1] != b.version[1]


def test_pictures_of_the_oldest_go_first_and_codes_stay():
    one = filled().nbytes
    budget = ByteBudget(int(2.5 * one))
    for i in range(4):
        budget.put(key("light", float(i)), filled())
    assert budget.nbytes <= budget.n_bytes
    shown = [budget.get(key("light", float(i)))["pictures"].count(0) for i in range(4)]
    assert shown[3] == 3
    assert shown[:2] == [0, 0]
    assert all(budget.get(key("light", float(i)))["codes"].count(1) == 3 for i in range(4))


def test_what_is_in_use_is_kept_whatever_its_size():
    budget, first, used = ByteBudget(1), key("light", 0.0), key("light", 0.5)
    for k in (first, used, key("light", 1.0)):
        budget.put(k, filled(), [used])
    assert budget.get(first) is None
    assert budget.get(used)["pictures"].count(0) == 3
    assert budget.get(key("light", 1.0))["pictures"].count(0) == 3


def test_near_is_equal_in_all_other_settings_and_the_nearest_first():
    budget = ByteBudget(2**20)
    for k in (key("light", 1.0), key("light", 4.0), key("light", 2.5), key("light", 2.1, 1), key("anchored", 2.1)):
        budget.put(k, filled())
    assert [p for p, _ in budget.near(key("light", 2.0), "lambda_p")] == [2.5, 1.0, 4.0]
    assert [p for p, _ in budget.near(key("light", 2.5), "lambda_p")] == [1.0, 4.0]
    assert budget.near(key("sequential", 2.0), "lambda_p") == []
    assert budget.near(key("light", 2.0), "method") == []  # words are not near each other
    assert len(budget.others(key("light", 2.5))) == 4
