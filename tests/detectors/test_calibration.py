"""Healthy percentiles and back."""

import numpy as np
import pytest
from pydantic import ValidationError

from napari_vqad.detectors.calibration import LAMBDA_LEVELS, LEVELS, Calibration
from napari_vqad.detectors.settings import Settings


@pytest.fixture
def calibration():
    nll = np.percentile(np.random.default_rng(0).exponential(2, 100_000), LEVELS).tolist()
    ramp = np.linspace(0, 1, len(LEVELS))
    return Calibration(
        n_scans=3, n_slices=200, levels=list(LEVELS), nll=nll,
        slice_score={f"{level:g}": (ramp * (200 - level)).tolist() for level in LAMBDA_LEVELS},
        residual={"light": ramp.tolist()}, pixel_score={"light 3d plain": (2 * ramp).tolist()},
        findings={"light 3d plain": np.linspace(30, 0, len(LEVELS)).tolist()},
    )  # fmt: skip


def test_value_and_percentile_are_inverse(calibration):
    for p in (0.5, 50, 90.25, 99.5, 99.97):
        value = calibration.value("nll", f"p{p}")
        assert calibration.percentile("nll", value) == pytest.approx(p, abs=1e-6)


def test_numbers_pass_through(calibration):
    assert calibration.value("nll", 5.0) == 5.0


def test_percentile_of_the_exponential(calibration):
    assert calibration.percentile("nll", 2 * np.log(10)) == pytest.approx(90, abs=0.5)


def test_percentile_beyond_what_was_seen(calibration):
    assert calibration.percentile("nll", -1) == 0
    assert calibration.percentile("nll", 1e9) == 100


def test_ties_count_as_at_or_below():
    flat = Calibration(
        n_scans=1, n_slices=1, levels=[0, 50, 100], nll=[0, 0, 4],
        slice_score={}, residual={}, pixel_score={}, findings={},
    )  # fmt: skip
    assert flat.percentile("nll", 0) == 50


def test_slice_score_is_interpolated_between_lambdas(calibration):
    p85 = calibration.percentile("nll", calibration.value("nll", "p85"))
    assert calibration.value("slice_score", "p100", at=p85) == pytest.approx(115, abs=0.1)


def test_findings_fall_with_the_threshold(calibration):
    assert calibration.findings_per_scan(0.0, kind="light 3d plain") == 30
    assert calibration.findings_per_scan(2.0, kind="light 3d plain") == 0


def test_thresholds_are_in_their_units(calibration, tiny_bundle):
    from dataclasses import replace

    from napari_vqad.detectors.bundle import Bundle

    bundle = replace(Bundle.load(tiny_bundle, "cpu"), calibration=calibration)
    limits = bundle.thresholds(
        Settings(method="light", pooling="3d", lambda_s="p50", lambda_p=3.5, flag_voxels=0.7, slice_score="sample")
    )
    assert limits["lambda_s"] == pytest.approx(2 * np.log(2), abs=0.05)
    assert (limits["lambda_p"], limits["flag_voxels"]) == (3.5, 0.7)


def test_tables_must_be_whole(calibration):
    with pytest.raises(ValidationError, match="every table"):
        Calibration.model_validate(calibration.model_dump() | {"nll": [1.0]})


def test_a_rate_of_false_findings_is_a_threshold(calibration):
    kind = "light 3d plain"
    one, third = (calibration.value("pixel_score", rate, kind=kind) for rate in ("1/1", "1/3"))
    assert one < third
    assert calibration.findings_per_scan(one, kind=kind) == pytest.approx(1, abs=0.05)
    assert calibration.findings_per_scan(third, kind=kind) == pytest.approx(1 / 3, abs=0.05)


def test_a_rate_is_no_finer_than_the_scans_can_tell(calibration):
    kind = "light 3d plain"
    third, far = (calibration.value("pixel_score", rate, kind=kind) for rate in ("1/3", "1/1000"))
    assert third == far  # of three scans


def test_where_there_are_never_so_many_the_threshold_is_the_90th_percentile(calibration):
    kind = "light 3d plain"
    quiet = calibration.model_copy(update={"findings": {kind: [0.8] * len(LEVELS)}})
    assert quiet.threshold_for_rate(kind, 1.0) == pytest.approx(quiet.value("pixel_score", "p90", kind=kind))


@pytest.mark.parametrize("name", ["lambda_s", "lambda_p", "flag_slices"])
def test_a_rate_of_findings_is_no_threshold_of_codes(name):
    with pytest.raises(ValidationError, match="findings are of voxels"):
        Settings(**{name: "1/3"})


def test_own_tables_of_a_detector_go_to_the_file_and_back_under_their_names(calibration):
    given = calibration.model_dump() | {"by_kind": {"a": [1.0] * len(LEVELS)}, "empty": []}
    again = Calibration.model_validate_json(Calibration.model_validate(given).model_dump_json())
    assert {name: set(table) for name, table in again.own.items()} == {"nll": {""}, "by_kind": {"a"}}
    assert again.own["nll"][""] == calibration.own["nll"][""]
    assert again.value("by_kind", "p50", kind="a") == 1.0


@pytest.mark.parametrize("table", [{"a": {"b": [1.0]}}, "text", [None], {"a": [float("nan")] * len(LEVELS)}])
def test_an_own_table_that_is_none_is_refused(calibration, table):
    with pytest.raises(ValidationError):
        Calibration.model_validate(calibration.model_dump() | {"by_kind": table})
