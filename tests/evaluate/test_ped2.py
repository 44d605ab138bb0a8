"""Ishii's experiment: cases, figures that are kept apart, and the command."""

import json

import numpy as np
import pytest
from commands import run

from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.evaluate import ped2
from napari_vqad.evaluate.metrics import at_best, at_threshold
from napari_vqad.evaluate.variants import Variant


def test_cases_say_what_is_abnormal_in_a_part(tiny_clips, clip_folder):
    spec = read_config(tiny_clips).grid
    cases = list(ped2.clip_cases(clip_folder, "test", spec))
    assert sum(len(c.grid) for c in cases) == 5 + 27
    for case in cases:
        counted, positive = case.of_slices()
        assert counted.all()
        assert set(positive) == {case.kind == ped2.ABNORMAL}
        np.testing.assert_array_equal(case.truth.any((1, 2)), positive)
        # What is marked is the cart, which is bright.
        assert (case.grid.slices[case.truth] > 2.5).all()


def test_a_frame_with_few_abnormal_pixels_counts(tiny_clips, clip_folder):
    """The answer to a frame is given; it is no rim of a lesion that had to be left out."""
    case = next(c for c in ped2.clip_cases(clip_folder, "test", read_config(tiny_clips).grid) if c.truth.any())
    case.label[0] = 0
    case.label[0, 0, 0] = 1
    assert case.of_slices()[0].all()


def test_the_best_threshold_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for ties in (1000, 5):
        scores, labels = rng.integers(0, ties, 200) + 0.0, rng.random(200) < 0.3
        scores[labels] += 0.3 * ties
        found = at_best(scores, labels)
        tried = [at_threshold(scores, labels, t) for t in [-np.inf, *scores]]
        assert found.balanced == max(t.balanced for t in tried)
        assert found.balanced > 0.6
        assert found in tried
    perfect = at_best([0.0, 1.0, 2.0], [False, False, True])
    assert (perfect.f1, perfect.balanced, perfect.macro) == (1, 1, 1)
    assert np.isnan(at_best([0.0, 1.0], [True, True]).balanced)


def test_macro_f1_is_the_mean_over_both_classes():
    found = at_threshold([0, 1, 2, 3, 4], [False, False, True, False, True], 1.5)  # two hits, one false, two spared
    assert found.f1 == pytest.approx(0.8)
    assert found.macro == pytest.approx((0.8 + 2 * 2 / (2 + 3)) / 2)


def test_a_frame_is_scored_by_its_mean_or_its_highest_pixel(tiny_clips, clip_folder):
    bundle = Bundle.load(tiny_clips, "cpu")
    explorer = Explorer(bundle, Settings(method="regenerative", pooling="2d"))
    case = next(ped2.clip_cases(clip_folder, "test", bundle.config.grid))
    explorer.load_grid(case.grid)
    found = {over: Variant("w", over=over).score(explorer, explorer.settings, None) for over in ("mean", "max")}
    for over, (score, of_frames) in found.items():
        np.testing.assert_allclose(of_frames, getattr(score, over)((1, 2)), rtol=1e-5)


def test_every_method_of_a_bundle_in_three_tables(tiny_clips, clip_folder, tmp_path, capsys):
    words = ("evaluate", "ped2", tiny_clips, "--data", clip_folder, "-S", 2)
    assert run(*words, "--json", tmp_path / "lines.json") == 0
    printed = capsys.readouterr().out
    lines = json.loads((tmp_path / "lines.json").read_text())
    assert [line["method"] for line in lines] == ["sample-wise", "anchored", "sequential", "light", "regenerative"]
    for line in lines:
        assert 0 <= line["slices"]["auroc"] <= 1
        assert line["best"]["balanced"] >= line["at"]["balanced"] - 1e-12
        low, high = line["interval"]
        assert low - 1e-9 <= line["slices"]["auroc"] <= high + 1e-9
        assert (line["tuning"] is None) == (line["method"] == "regenerative")
        assert line["seconds"] > 0
    true, paper, tuned = printed.strip().split("\n\n")[-3:]
    assert "frame AUROC" in true
    assert "paper" not in true
    assert tuned.count("**") == 2 * (len(lines) - 1)
    assert "AUROC" not in paper
    assert paper.count("as in the paper") == 4
    for table in (true, paper):
        assert table.count("| Tiny, clips |") == len(lines)


def test_stopped_it_goes_on_and_draws_histograms(tiny_clips, clip_folder, tmp_path, capsys, monkeypatch):
    words = ("evaluate", "ped2", tiny_clips, "--data", clip_folder, "-S", 2, "--methods", "sample-wise", "light")
    words = (*words, "--percentiles", 50, 90, "--keep", tmp_path / "keep")
    assert run(*words, "--json", tmp_path / "first.json") == 0
    monkeypatch.setattr(Variant, "score", lambda *_: pytest.fail("it was measured before"))
    assert run(*words, "--json", tmp_path / "again.json", "--histograms", tmp_path / "h.png") == 0
    first, again = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("first", "again"))
    assert first == again
    assert [len(line["tuning"]["tried"]) for line in first] == [2, 2]
    assert (tmp_path / "h.png").read_bytes().startswith(b"\x89PNG")


def test_a_cart_is_found(tiny_clips, clip_folder):
    """The tiny networks know nothing; where they cannot draw the cart, the residual shows it."""
    lines = ped2.lines_of(Bundle.load(tiny_clips, "cpu"), clip_folder, Settings(pooling="2d"), ("regenerative",))
    assert lines[0].slices.auroc > 0.9
    assert lines[0].voxels.auroc > 0.9


def test_models_of_heads_are_refused(tiny_bundle, clip_folder, capsys):
    with pytest.raises(InputError, match="model of heads"):
        ped2.lines_of(Bundle.load(tiny_bundle, "cpu"), clip_folder, Settings())
    assert run("evaluate", "ped2", tiny_bundle, "--data", clip_folder) == 2
    assert "Ped2 is made of clips" in capsys.readouterr().err


def test_a_model_of_clips_is_refused_on_heads(tiny_clips, case_folder, tmp_path, capsys):
    assert run("evaluate", "testset", case_folder, "--bundle", tiny_clips) == 2
    assert "knows clips alone" in capsys.readouterr().err
    # Among a folder's models it is passed over.
    words = ("evaluate", "grid", tiny_clips.parent, "--data", case_folder, "--validation", tmp_path)
    assert run(*words) == 2
    assert "holds no bundles" in capsys.readouterr().err


def test_a_real_clip(tiny_clips, shared_data):
    with pytest.raises(InputError, match="frames of 128×128 pixels, and the model asks for 32×40"):
        next(ped2.clip_cases(shared_data / "ucsd_ped2_128", "test", read_config(tiny_clips).grid))
