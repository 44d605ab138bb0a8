"""The tables: cases from files and simulated ones, every method, counted as stated."""

import json

import pytest

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate.cases import folder_cases, simulated_cases
from napari_vqad.evaluate.experiment import collect, kind_table, overall_table
from napari_vqad.evaluate.result_cache import ResultCache
from napari_vqad.evaluate.variants import method_variants
from napari_vqad.train.data import Stack


def test_cases_of_a_folder(case_folder, tiny_bundle):
    normal, cube = folder_cases(case_folder, Bundle.load(tiny_bundle, "cpu").config.grid)
    assert (normal.truth.sum(), cube.truth.sum()) == (0, 216)
    # Scan and grid have the same spacing here, so that label and truth are the same voxels.
    assert cube.label.sum() == 216
    inside = cube.on_truth(cube.grid.slices)
    assert inside.shape == (cube.counted.sum(),)
    assert inside[cube.truth[cube.counted]].min() > inside[~cube.truth[cube.counted]].max()


def test_the_residual_finds_a_bright_cube(case_folder, tiny_bundle, tmp_path, capsys):
    out = tmp_path / "rows.json"
    words = ["evaluate", "testset", case_folder, "--bundle", tiny_bundle, "--device", "cpu", "-S", 2, "--json", out]
    assert main([str(w) for w in words]) == 0
    printed = capsys.readouterr().out
    assert "| regenerative |" in printed
    rows = {(r["method"], r["kind"]): r for r in json.loads(out.read_text())["rows"]}
    methods = {"sample-wise", "sequential", "anchored", "light", "regenerative"}
    assert {m for m, _ in rows} == methods  # this prior cannot do "masked"
    # A random tokenizer gives a flat picture: its residual is the scan itself, where the cube is brightest.
    # Pooling spreads the cube over its neighbours and into the slices next to it, which count as negative.
    assert rows["regenerative", "cube"]["voxels"]["auroc"] > 0.98
    assert rows["regenerative", "all"]["slices"]["auroc"] > 0.8


def test_simulated_cases_take_turns(tiny_bundle, head):
    bundle = Bundle.load(tiny_bundle, "cpu")
    from napari_vqad.imaging.layout import to_grid

    spec = bundle.config.grid
    stack = Stack.of([to_grid(*head, spec), to_grid(*head, spec)], spec)
    cases = list(simulated_cases(stack, spec))
    assert [c.kind for c in cases] == ["normal", "level", "offset", "normal", "ring", "texture"]
    ways = method_variants(bundle.detector, ("light",), False)
    rows = collect(bundle, cases, Settings(n_restorations=1), ways, None, lambda _: None).rows(ways)
    assert [r.kind for r in rows] == ["all", "level", "offset", "ring", "texture"]
    assert overall_table(rows).count("\n") == 2
    assert "| light |" in kind_table(rows)


def test_what_was_measured_before_is_not_measured_again(tiny_bundle, head, tmp_path, monkeypatch):
    from napari_vqad.imaging.layout import to_grid

    bundle, settings = Bundle.load(tiny_bundle, "cpu"), Settings(n_restorations=1)
    ways = method_variants(bundle.detector, ("sample-wise", "light"), False)
    spec = bundle.config.grid
    cases = list(simulated_cases(Stack.of([to_grid(*head, spec)], spec), spec))
    cache = ResultCache.of(tmp_path, bundle, settings)
    first = collect(bundle, cases[:2], settings, ways[:1], None, lambda _: None, cache=cache)
    whole = collect(bundle, cases, settings, ways, None, lambda _: None, cache=cache)
    assert whole.rows(ways) == collect(bundle, cases, settings, ways, None, lambda _: None).rows(ways)
    assert whole.seconds[ways[0].name] > first.seconds[ways[0].name]

    def refuse(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr(Explorer, "load_grid", refuse)
    again = collect(bundle, cases, settings, ways, None, lambda _: None, cache=cache)
    assert again.rows(ways) == whole.rows(ways)
    assert again.seconds == whole.seconds
    other = ResultCache.of(tmp_path, bundle, Settings(n_restorations=2))
    assert not any(other.has(case, ways[0].name) for case in cases)


def test_a_folder_without_cases(tmp_path, tiny_bundle):
    with pytest.raises(InputError, match=r"cases\.csv"):
        list(folder_cases(tmp_path, Bundle.load(tiny_bundle, "cpu").config.grid))


def test_an_ablation_needs_a_bundle_that_knows_places(case_folder, tiny_bundle, capsys):
    words = ["evaluate", "testset", case_folder, "--bundle", tiny_bundle, "--device", "cpu", "--ablation", "anchored"]
    assert main([str(w) for w in words]) == 2
    assert "knows no places" in capsys.readouterr().err
