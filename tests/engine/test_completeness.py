"""What is final while an analysis goes on, and how one that was stopped is marked wherever it is handed over."""

import json

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.pca import PCADetector
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.completeness import incomplete, missing_slices
from napari_vqad.engine.explorer import Explorer
from napari_vqad.engine.maps import MapInputs, Maps
from napari_vqad.engine.slice_maps import StageInputs
from napari_vqad.findings.findings import findings
from napari_vqad.scores.fusion import centre_on_healthy, middle
from napari_vqad.scores.normative import NormativeMaps
from napari_vqad.scores.pooling import REACH
from napari_vqad.scoring import Result

QUICK = Settings(n_restorations=2, lambda_p=2.0, lambda_s=2.0, flag_voxels=0.5)


@pytest.fixture
def explorer(tiny_bundle, head):
    explorer = Explorer(Bundle.load(tiny_bundle, "cpu"), QUICK)
    explorer.load_scan(*head)
    return explorer


def stop_at(explorer, n):
    """Work until n slices have their restorations."""
    for _ in explorer.work():
        if explorer.ready("restoration").sum() >= n:
            explorer.cancel()


@pytest.mark.parametrize("pooling", ["none", "2d", "3d", "smooth"])
def test_what_is_called_ready_does_not_change_any_more(explorer, pooling):
    explorer.change(QUICK.model_copy(update={"pooling": pooling, "median": True, "min_volume_ml": 0.2}))
    explorer._at_once, early = 4, {}
    waited = False
    for _ in explorer.work():
        restored = explorer.ready("restoration")
        for name in ("pixel_score", "flagged"):
            ready, stack = explorer.ready(name), explorer.map(name)
            assert not (ready & ~restored).any()
            waited |= name == "pixel_score" and bool((restored & ~ready).any())
            for i in np.flatnonzero(ready):
                early.setdefault((name, int(i)), stack[i].copy())
    assert waited == (REACH[pooling] > 0)
    assert explorer.ready("flagged")[explorer.chosen()].all()
    for (name, i), was in early.items():
        np.testing.assert_allclose(explorer.map(name)[i], was, atol=1e-5, err_msg=f"{name} of slice {i}")


def test_slices_that_are_not_asked_for_are_not_waited_for(explorer):
    explorer.change(QUICK.model_copy(update={"slices": (10, 13)}))
    for _ in explorer.work():
        pass
    assert np.flatnonzero(explorer.ready("pixel_score")).tolist() == [10, 11, 12, 13]
    assert incomplete(explorer) == ""


def test_a_part_of_a_scan_is_levelled_as_the_whole_was():
    rng = np.random.default_rng(0)
    score, within = rng.normal(3, 2, (6, 8, 8)).astype(np.float32), np.ones((6, 8, 8), bool)
    grid = type("Grid", (), {"slices": score, "mask": within, "__len__": lambda _self: 6})()
    maps, healthy = Maps(grid, PCADetector(None), NormativeMaps.none()), (1.0, 2.0)
    kept = MapInputs(StageInputs({}, {}, Settings()), "pca", 1.0, "fused", healthy)
    whole = maps._centred(score, within, kept)
    np.testing.assert_array_equal(whole, centre_on_healthy(score, within, healthy, middle(score, within)))
    part = within & (np.arange(6) < 2)[:, None, None]
    brighter = np.where(part, score + 1, 0).astype(np.float32)
    again = maps._centred(brighter, part, kept._replace(whole=False))
    np.testing.assert_array_equal(again, centre_on_healthy(brighter, part, healthy, middle(score, within)))


def test_a_stopped_analysis_says_so_wherever_it_is_handed_over(explorer, head, tmp_path):
    explorer.change(QUICK.model_copy(update={"flag_voxels": 0.05, "min_volume_ml": 0.0}))
    stop_at(explorer, 9)
    restored, missing = explorer.ready("restoration"), missing_slices(explorer).tolist()
    assert set(np.flatnonzero(~restored)) < set(missing), "slices that wait for their neighbours are missing, too"
    result = Result(explorer, *head, "Brain mask as given.")
    words = f"Not complete: {len(missing)} of {explorer.n_slices} slices have no final score"
    assert result.save(tmp_path)[0].startswith(words)
    assert result.summary().startswith(words)
    numbers = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert numbers["complete"] is False
    assert numbers["slices_missing"] == missing
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert words in report
    assert "not final" in report
    found = findings(explorer)
    for f in found:
        assert f.final == (not set(range(f.slices[0] - 1, f.slices[1] + 2)) & set(missing))
    assert not all(f.final for f in found)
    assert [row["final"] for row in numbers["findings"]] == ["yes" if f.final else "no" for f in found]
    assert any(words in text.get_text() for text in result.sheet().texts)

    for _ in explorer.work():
        pass
    assert result.save(tmp_path) == ()
    numbers = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (numbers["complete"], numbers["slices_missing"]) == (True, [])
    assert "Not complete" not in result.summary() + (tmp_path / "report.html").read_text(encoding="utf-8")
