"""Settings: thresholds in two languages, bounds, the JSON sidecar."""

import pytest
from pydantic import ValidationError

from napari_vqad.detectors.settings import Settings


@pytest.mark.parametrize(("given", "kept"), [("p90", "p90"), ("P99.5", "p99.5"), (5, 5.0), ("5.0", 5.0), (0, 0.0)])
def test_thresholds(given, kept):
    assert Settings(lambda_p=given).lambda_p == kept


@pytest.mark.parametrize("bad", ["p101", "p-1", "high", -0.1, "nan", float("inf"), None])
def test_bad_thresholds(bad):
    with pytest.raises(ValidationError, match="healthy percentile"):
        Settings(lambda_p=bad)


@pytest.mark.parametrize(
    "bad", [{"n_restorations": 0}, {"n_restorations": 31}, {"k": -1}, {"method": "magic"}, {"what": 1}]
)
def test_refuses(bad):
    with pytest.raises(ValidationError):
        Settings(**bad)


def test_sidecar_round_trip():
    settings = Settings(lambda_p=4.2, method="light", slices=(3, 9))
    assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_every_knob_says_what_it_is():
    for name, field in Settings.model_fields.items():
        assert field.title, name
        assert field.description.endswith("."), name
