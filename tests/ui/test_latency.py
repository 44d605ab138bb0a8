"""The bench moves the sliders of a real viewer; what it measures must be there, how long it takes is not tested."""

import json
import time
from dataclasses import replace

import pytest

from napari_vqad.cli import main
from napari_vqad.train.recipe import Recipe
from napari_vqad.ui import latency


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(latency, "MOVES", {name: places[:2] for name, places in latency.MOVES.items()})


def test_sliders_in_a_viewer(make_napari_viewer, tiny_bundle, few):
    viewer = make_napari_viewer(show=True)
    told = []
    found = latency.measure(viewer, str(tiny_bundle), "cpu", 1, told.append)
    assert set(found["latency_ms"]) == set(latency.MOVES)
    for ms in found["latency_ms"].values():
        assert 0 < ms["median"] <= ms["p95"]
        assert ms["n"] == 2
    assert found["slices"] > 30
    assert found["volume_seconds"] > 0
    assert found["gui_longest_frame_ms"] > 0
    assert found["drag"]["settled_ms"] > 0
    assert len(told) == len(latency.MOVES) + 2


def test_longest_frame_is_that_of_our_code():
    from napari_vqad.ui import session

    def stay(seconds):
        # A function that stands in a file of the package, for the watcher.
        code = compile("import time\ndef held(s):\n    time.sleep(s)\n", session.__file__, "exec")
        space: dict = {}
        exec(code, space)
        space["held"](seconds)

    with latency.LongestFrame() as frame:
        time.sleep(0.2)
        stay(0.05)
        time.sleep(0.05)
    assert 0.03 < frame.longest < 0.2


@pytest.fixture
def small_paper(monkeypatch):
    """The networks of the paper's size see 4×4 codes instead of 20×20: only their time would be another."""
    recipe = Recipe.read("paper-160")
    small = recipe.model_copy(update={"grid": replace(recipe.grid, shape=(32, 32))})
    monkeypatch.setattr(Recipe, "read", lambda name: {"paper-160": small}[name])


def test_command_writes_table_and_json(tiny_bundle, small_paper, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    where = tmp_path / "bench.json"
    assert main(["bench", "--quick", "--bundle", str(tiny_bundle), "--device", "cpu", "--json", str(where)]) == 0
    told = capsys.readouterr().out
    assert "anchored against light" in told
    assert "no screen" in told
    assert "Codes that differ between loop and here: 0" in told
    found = json.loads(where.read_text(encoding="utf-8"))
    assert set(found["ratios"]) == {"sequential_vs_loop", "anchored_vs_loop", "anchored_vs_light_total"}
    assert found["peak_memory_mb"] > 0
    assert sum(found["passes"]["anchored"].values()) > 0
    assert {"latency_ms", "volume_seconds", "gui_longest_frame_ms", "machine", "paper_size"} <= set(found)
    assert found["paper_size"]["codes"] == 16
    for method in ("sequential", "anchored"):
        assert found["restoration"][method]["codes_that_differ"] == 0
