"""The options for thresholds follow from what detectors declare."""

import argparse

import pytest

from napari_vqad.detectors.protocol import ThresholdSpec
from napari_vqad.detectors.settings import Settings
from napari_vqad.detectors.vq.detector import VQDetector
from napari_vqad.evaluate.threshold_options import add_threshold_options, own_thresholds


def parsed(words, **options):
    parser = argparse.ArgumentParser()
    add_threshold_options(parser, **options)
    return vars(parser.parse_args(words))


def test_each_declared_threshold_has_an_option_with_its_default():
    assert list(own_thresholds().items()) == [("lambda_s", "nats"), ("lambda_p", "nats")]
    assert parsed([]) == {"lambda_s": Settings().lambda_s, "lambda_p": Settings().lambda_p}
    assert parsed(["--lambda-p", "3", "4"], nargs="+", default=None) == {"lambda_s": None, "lambda_p": ["3", "4"]}
    assert parsed([], only=("lambda_p",)) == {"lambda_p": Settings().lambda_p}


def test_a_threshold_that_a_detector_declares_is_an_option_and_no_other(monkeypatch):
    monkeypatch.setattr(VQDetector, "thresholds", (ThresholdSpec("k", "nll", "nats", "codes"),))
    assert parsed(["-k", "2"]) == {"k": "2"}
    with pytest.raises(SystemExit):
        parsed(["--lambda-s", "2"])
