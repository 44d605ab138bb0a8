"""Files that version 0.1.0 wrote before the package was sorted into rooms: a bundle, a study, a result.json."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import napari_vqad
from napari_vqad.detectors.bundle import fingerprint

ROUNDING = {"rtol": 0, "atol": 1e-5}  # float32 sums of the processor that wrote the files, and of this one
FILES = Path(__file__).parents[1] / "files_of_0_1"


@pytest.fixture
def old(tmp_path):
    return shutil.copytree(FILES, tmp_path / "old")


def test_a_bundle_still_loads_and_has_its_hash(old):
    bundle = napari_vqad.Bundle.load(old / "tiny", "cpu")
    written = json.loads((old / "result.json").read_text(encoding="utf-8"))
    assert bundle.hash == fingerprint(old / "tiny") == written["bundle"]["sha256"]


def test_a_study_still_opens_with_its_maps_and_verdicts(old):
    study = napari_vqad.open_study(old / "study.vqad", old / "head.nii.gz", bundle=old / "tiny", device="cpu")
    kept = np.load(old / "maps.npz")
    for name in ("nll", "restoration", "residual", "pixel_score", "flagged"):
        np.testing.assert_allclose(study.explorer.map(name), kept[name], **ROUNDING, err_msg=name)
    np.testing.assert_allclose(study.explorer.weights(), kept["weights"], **ROUNDING)
    np.testing.assert_allclose(study.explorer.slice_scores(), kept["slice_scores"], **ROUNDING)
    assert (study.view, study.which) == ("NLL", 2)
    assert [(word.verdict, word.note) for word in study.words.values()] == [("rejected", "A vessel.")]


def test_the_settings_of_a_result_give_the_same_numbers_again(old):
    written = json.loads((old / "result.json").read_text(encoding="utf-8"))
    settings = napari_vqad.Settings(**written["settings"])
    again = napari_vqad.score(
        old / "head.nii.gz", mask=old / "mask.nii.gz", bundle=old / "tiny", device="cpu", settings=settings
    ).as_dict()
    for key in ("thresholds", "slice_scores", "sample_scores", "volume_score"):
        assert again[key] == written[key], key
    assert [f["ml"] for f in again["findings"]] == [f["ml"] for f in written["findings"]]
