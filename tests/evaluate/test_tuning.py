"""λ tuned on the validation part: which codes the percentiles are of, what a candidate does, and which one wins."""

from dataclasses import replace

import numpy as np
import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.engine.explorer import Explorer
from napari_vqad.evaluate import ped2, tuning
from napari_vqad.evaluate.comparison import compare_models, tuned_thresholds
from napari_vqad.evaluate.experiment import collect
from napari_vqad.evaluate.metrics import at_best, auroc_interval, rank
from napari_vqad.evaluate.variants import SAMPLE, Variant, method_variants, methods_of

SETTINGS = Settings(n_restorations=2, pooling="2d")


@pytest.fixture(scope="module")
def bundle(tiny_clips):
    return Bundle.load(tiny_clips, "cpu")


@pytest.fixture
def validation(bundle, clip_folder):
    return list(ped2.clip_cases(clip_folder, "validation", bundle.config.grid))


def nll_of(bundle, case):
    """ℓ of every code of a case, (n, h, w)."""
    return bundle.detector.nll(bundle.detector.encode(case.grid.slices, case.grid.position), case.grid.position)


def test_lambda_s_is_of_the_sample_and_lambda_p_of_what_restores(bundle, tiny_pca):
    ways = {w.name: w for w in method_variants(bundle.detector, methods_of(bundle.detector), False)}
    found = {name: tuning.tuned_by(bundle.detector, way) for name, way in ways.items()}
    assert {name: spec and spec.setting for name, spec in found.items()} == {
        SAMPLE: "lambda_s",
        "anchored": "lambda_p",
        "sequential": "lambda_p",
        "light": "lambda_p",
        "regenerative": None,
    }
    pca = Bundle.load(tiny_pca, "cpu").detector
    assert tuning.tuned_by(pca, Variant("pca")) is None


def test_percentiles_are_of_all_codes_normal_and_abnormal(bundle, validation):
    values = tuning.values_of(Explorer(bundle, SETTINGS), validation, ["nll"])["nll"]
    expected = np.concatenate([nll_of(bundle, case).ravel() for case in validation])
    assert {case.kind for case in validation} == {"normal", "abnormal"}
    np.testing.assert_allclose(np.sort(values), np.sort(expected), rtol=1e-5)


def test_a_candidate_scores_frames_by_its_own_lambda(bundle, validation):
    way, spec = Variant(SAMPLE, "sample"), bundle.detector.thresholds[0]
    values = np.concatenate([nll_of(bundle, case).ravel() for case in validation])
    tried = tuning.candidates(way, spec, values, (20, 90))
    found = collect(bundle, validation, SETTINGS, tried, report=lambda _: None)
    result = tuning.tuning_of(way, spec, tried, (20, 90), found)
    answers = np.concatenate([case.positive for case in validation])
    for p, one in zip((20, 90), result.tried, strict=True):
        limit = np.percentile(values, p)
        by_hand = np.concatenate(
            [np.where(n > limit, n, 0).sum((1, 2)) for n in (nll_of(bundle, c) for c in validation)]
        )
        assert (one.percentile, one.value) == (p, pytest.approx(limit))
        np.testing.assert_allclose(found.of("slices", tried[(20, 90).index(p)].name)[0], by_hand, rtol=1e-4)
        assert one.best.balanced == pytest.approx(at_best(by_hand, answers).balanced)
        assert one.ranking.auroc == pytest.approx(rank(by_hand, answers).auroc)
    assert result.chosen.best.balanced == max(one.best.balanced for one in result.tried)


def test_the_choice_is_what_the_test_part_is_scored_with(bundle, clip_folder, validation):
    test = list(ped2.clip_cases(clip_folder, "test", bundle.config.grid))
    lines = compare_models(bundle, validation, test, SETTINGS, ("light",), lambda _: None, "mean", None, (1.0, 99.0))
    chosen = lines[0].tuning.chosen
    fixed = compare_models(
        bundle,
        validation,
        test,
        SETTINGS.model_copy(update={"lambda_p": chosen.value}),
        ("light",),
        lambda _: None,
        "mean",
    )
    assert fixed[0].slices == lines[0].slices
    other = next(one for one in lines[0].tuning.tried if one is not chosen)
    assert chosen.best.balanced >= other.best.balanced
    assert "**" in tuning.table("m", [lines[0].tuning])


def test_of_several_equal_candidates_the_lowest_percentile_wins():
    best = at_best([0.0, 1.0], [False, True])
    ranking = rank([0.0, 1.0], [False, True])
    tried = tuple(tuning.Tried(p, p / 10, best, ranking) for p in (20.0, 40.0))
    assert tuning.Tuning("m", "lambda_s", tried).chosen.percentile == 20


def test_an_interval_is_over_whole_cases():
    rng = np.random.default_rng(0)
    cases = [(rng.normal(size=9), np.zeros(9, bool)) for _ in range(8)]
    cases += [(rng.normal(1.0, size=9), np.ones(9, bool)) for _ in range(8)]
    low, high = auroc_interval(cases)
    auroc = rank(np.concatenate([s for s, _ in cases]), np.concatenate([a for _, a in cases])).auroc
    assert 0.5 < low < auroc < high < 1
    # Copies of a frame say nothing new.
    copied = [(np.repeat(s, 20), np.repeat(a, 20)) for s, a in cases]
    assert auroc_interval(copied) == pytest.approx((low, high))
    assert np.isnan(auroc_interval(cases[:8])).all()
    assert np.isnan(auroc_interval(cases[8:])).all()


def test_what_is_kept_of_other_validation_cases_is_not_taken(bundle, clip_folder, validation, tmp_path, monkeypatch):
    """The same percentile is another λ there, and another score of the same test frames."""
    test = list(ped2.clip_cases(clip_folder, "test", bundle.config.grid))
    seen = []

    def scores(keep, values):
        monkeypatch.setattr(tuning, "values_of", lambda *_: {"nll": np.array(values)})
        rest = lambda _: None, "mean", keep, (50.0,), lambda _line, found, _answers: seen.append(found)
        compare_models(bundle, validation, test, SETTINGS, (SAMPLE,), *rest)
        return seen[-1]

    low, high, fresh = scores(tmp_path, [0.0]), scores(tmp_path, [1e6]), scores(None, [1e6])
    assert low.min() > 0
    np.testing.assert_array_equal(high, fresh)
    assert not high.any()


def test_a_lambda_that_is_given_is_not_tuned(bundle, clip_folder, validation):
    test = list(ped2.clip_cases(clip_folder, "test", bundle.config.grid))
    given = Settings(n_restorations=2, pooling="2d", lambda_s=2.0)
    lines = compare_models(bundle, validation, test, given, (SAMPLE, "light"), lambda _: None, "mean", None, (20.0,))
    assert [line.tuning and line.tuning.setting for line in lines] == [None, "lambda_p"]


def test_tuned_thresholds_of_other_methods_stay(bundle, clip_folder, validation):
    test = list(ped2.clip_cases(clip_folder, "test", bundle.config.grid))
    words = validation, test, SETTINGS
    rest = lambda _: None, "mean", None, (50.0,)
    first = tuned_thresholds(bundle, compare_models(bundle, *words, (SAMPLE, "light"), *rest), "frames")
    again = replace(bundle, tuned=first)
    both = tuned_thresholds(again, compare_models(again, *words, ("sequential",), *rest), "frames")
    assert set(both.variants) == {"light", "sequential"}
    assert both.slices == first.slices
