"""Thresholds that a bundle holds, tuned on labelled data."""

import json
import shutil

import pytest

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle, fingerprint
from napari_vqad.detectors.settings import Settings, read_settings
from napari_vqad.detectors.tuned import FILE, TunedThresholds
from napari_vqad.engine.explorer import Explorer
from napari_vqad.errors import InputError
from napari_vqad.io.nifti import write_map


@pytest.fixture
def folder(tiny_bundle, tmp_path):
    """The tiny bundle with tuned thresholds: λ_s, and λ_p for two ways of restoring."""
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_bundle, folder)
    found = TunedThresholds(
        weights=Bundle.load(folder, "cpu").weights,
        on="the validation part",
        slices={"lambda_s": 1.25},
        variants={"sequential": {"lambda_p": 2.5}, "light": {"lambda_p": 0.75}},
    )
    (folder / FILE).write_text(found.model_dump_json())
    return folder


def test_tuned_is_a_number_of_the_method_in_use(folder, head):
    bundle = Bundle.load(folder, "cpu")
    explorer = Explorer(bundle, Settings(lambda_s="tuned", lambda_p="tuned", method="light", n_restorations=1))
    assert (explorer.settings.lambda_s, explorer.settings.lambda_p) == (1.25, 0.75)
    explorer.load_scan(*head)
    explorer.change(Settings(lambda_p="Tuned", method="sequential", n_restorations=1))
    assert explorer.settings.lambda_p == 2.5
    assert bundle.thresholds(Settings(lambda_s="tuned"))["lambda_s"] == 1.25
    assert bundle.resolve_own(Settings(lambda_s="tuned")).lambda_s == 1.25
    assert fingerprint(folder) == bundle.hash, "tuned.json changes no map"


def test_what_was_not_tuned_is_refused(folder, tiny_bundle):
    with pytest.raises(InputError, match="no tuned --lambda-p for anchored; give a number or a percentile"):
        Explorer(Bundle.load(folder, "cpu"), Settings(lambda_p="tuned"))
    with pytest.raises(InputError, match="Tiny has no tuned --lambda-s"):
        Explorer(Bundle.load(tiny_bundle, "cpu"), Settings(lambda_s="tuned"))
    for name in ("flag_voxels", "flag_slices"):
        with pytest.raises(ValueError, match="a threshold is a number"):
            Settings(**{name: "tuned"})


def test_a_file_of_another_model_is_refused(folder):
    known = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps(known | {"weights": "0" * 64}))
    with pytest.raises(InputError, match="is of another model"):
        Bundle.load(folder, "cpu")
    (folder / FILE).write_text("{")
    with pytest.raises(InputError, match=r"tuned\.json"):
        Bundle.load(folder, "cpu")


def test_settings_of_a_file_are_those_of_the_flags(folder, head, tmp_path, capsys):
    write_map(tmp_path / "head.nii.gz", head[0].voxels, head[0])
    write_map(tmp_path / "mask.nii.gz", head[1].astype("uint8"), head[0])
    (tmp_path / "chosen.json").write_text(json.dumps({"method": "light", "lambda_p": "tuned", "n_restorations": 2}))
    words = [
        "score",
        tmp_path / "head.nii.gz",
        "--mask",
        tmp_path / "mask.nii.gz",
        "--bundle",
        folder,
        "--device",
        "cpu",
    ]
    words += ["--device", "cpu", "--settings", tmp_path / "chosen.json", "-S", 1, "-o", tmp_path / "out"]
    assert main([str(w) for w in words]) == 0
    used = json.loads((tmp_path / "out" / "result.json").read_text())["settings"]
    assert (used["method"], used["lambda_p"], used["n_restorations"]) == ("light", 0.75, 1)
    again = read_settings(tmp_path / "out" / "result.json")
    assert (again["method"], again["lambda_p"]) == ("light", 0.75)


def test_a_file_without_settings_is_one_sentence(tmp_path):
    for text, words in (("[1]", "holds no settings"), ('{"k": "x"}', "-k does not fit")):
        (tmp_path / "s.json").write_text(text)
        with pytest.raises(InputError, match=words):
            read_settings(tmp_path / "s.json")
