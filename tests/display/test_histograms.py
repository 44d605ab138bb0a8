"""Histograms of a scan's values before healthy ones, and what the thresholds in them mean in words."""

import pytest

from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.healthy import codes_within
from napari_vqad.display.histograms import histograms
from napari_vqad.engine.explorer import Explorer


def analysed(folder, head, **settings):
    explorer = Explorer(Bundle.load(folder, "cpu"), Settings(n_restorations=1, **settings))
    explorer.load_scan(*head)
    return explorer


def test_codes_slices_and_voxels_have_their_thresholds(tiny_bundle, head):
    explorer = analysed(tiny_bundle, head, lambda_s="p98", lambda_p="p80", flag_voxels="p90")
    assert histograms(explorer) == []
    explorer.finish()
    codes, slices, voxels = histograms(explorer)
    assert [line.title for line in codes.lines] == ["λ_s", "λ_p"]
    assert (codes.title, codes.unit) == ("NLL of codes", "nats")
    assert [line.setting for h in (slices, voxels) for line in h.lines] == ["flag_slices", "flag_voxels"]
    for found in (codes, slices, voxels):
        assert found.scan.sum() == pytest.approx(1)
        assert found.healthy.sum() == pytest.approx(1)
        assert all(found.edges[0] <= line.value <= found.edges[-1] for line in found.lines)


def test_the_codes_are_those_that_a_threshold_is_compared_with(tiny_bundle, head):
    explorer = analysed(tiny_bundle, head, lambda_p=2.9)
    explorer.finish()
    chosen = explorer.chosen()
    within = codes_within(explorer.grid.mask[chosen], explorer.detector.levels)
    nll = explorer.results("nll", "nll")[chosen][within]
    line = next(line for line in histograms(explorer)[0].lines if line.setting == "lambda_p")
    here = int((nll > line.value).sum())
    assert 0 < here < nll.size
    healthy = 100 - explorer.bundle.calibration.percentile("nll", 2.9)
    assert f"{healthy:.1f} % of healthy codes are above ({healthy / 100 * nll.size:.0f} expected)" in line.words
    assert line.words.endswith(f"here {100 * here / nll.size:.1f} % ({here}).")


def test_a_threshold_without_effect_cannot_be_moved(tiny_bundle, head):
    explorer = analysed(tiny_bundle, head, method="regenerative")
    explorer.finish()
    codes, *_ = histograms(explorer)
    assert {line.setting: line.active for line in codes.lines} == {"lambda_s": True, "lambda_p": False}


def test_only_the_chosen_slices_count(tiny_bundle, head):
    explorer = analysed(tiny_bundle, head, slices=(10, 12), flag_slices="p0")
    explorer.finish()
    _, slices, _ = histograms(explorer)
    above = int((explorer.slice_scores()[explorer.chosen()] > slices.lines[0].value).sum())
    assert explorer.chosen().sum() == 3
    assert f"healthy slices are above (3 expected), here {100 * above / 3:.1f} % ({above})." in slices.lines[0].words


def test_other_detectors_show_what_they_have(tiny_pca, tiny_histogram, head):
    for folder in (tiny_pca, tiny_histogram):
        explorer = analysed(folder, head)
        explorer.finish()
        assert "Pixel score" in [h.title for h in histograms(explorer)]
        assert "NLL of codes" not in [h.title for h in histograms(explorer)]
