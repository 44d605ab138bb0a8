"""The copied command line and the copied Python give the same numbers as the analysis that they were copied from."""

import json
import shlex

import numpy as np
import pytest

import napari_vqad
from napari_vqad.cli import main
from napari_vqad.io.nifti import write_map

CHANGED = {
    "tiny_bundle": {"lambda_p": "p30", "n_restorations": 2, "k": 5.5, "slices": (9, 15), "median": True, "seed": 3},
    "tiny_pca": {"flag_voxels": 1.25, "pooling": "2d", "min_volume_ml": 0.0},
}


@pytest.fixture
def files(head, tmp_path):
    """A scan and its mask in a folder whose name needs quotation marks."""
    volume, mask = head
    folder = tmp_path / "a folder's scans ü"
    folder.mkdir()
    write_map(folder / "head.nii.gz", volume.voxels, volume)
    write_map(folder / "brain mask.nii.gz", mask.astype(np.uint8), volume)
    return folder / "head.nii.gz", folder / "brain mask.nii.gz"


@pytest.mark.parametrize("kind", list(CHANGED))
def test_both_forms_give_the_same_numbers(kind, files, request, tmp_path, monkeypatch):
    bundle, (scan, mask) = request.getfixturevalue(kind), files
    settings = napari_vqad.Settings(**CHANGED[kind])
    result = napari_vqad.score(scan, mask=mask, bundle=bundle, device="cpu", settings=settings)
    found = result.reproduction()
    assert found.missing == ()
    monkeypatch.chdir(tmp_path)
    words = shlex.split(found.command)
    assert words[:2] == ["napari-vqad", "score"]
    assert main(words[1:]) == 0
    written = json.loads((tmp_path / "head_vqad" / "result.json").read_text(encoding="utf-8"))
    ours = json.loads(json.dumps(result.as_dict()))
    same = ("settings", "thresholds", "findings", "slices", "volume_score", "fitness")
    assert {name: written.get(name) for name in same} == {name: ours.get(name) for name in same}
    assert ours["settings"]
    names: dict = {}
    exec(found.python, names)
    assert len(found.python.splitlines()) == 3
    for name in ("pixel_score", "flagged"):
        np.testing.assert_array_equal(names["result"].explorer.map(name), result.explorer.map(name))


def test_only_changed_settings_of_the_detector_are_given(files, tiny_pca):
    scan, mask = files
    settings = napari_vqad.Settings(flag_voxels=1.5)
    found = napari_vqad.score(scan, mask=mask, bundle=tiny_pca, device="cpu", settings=settings).reproduction()
    assert found.command.endswith(" --flag-voxels 1.5")
    assert "lambda" not in found.command + found.python


def test_what_is_not_a_file_must_be_saved_first(head, tiny_pca):
    volume, mask = head
    found = napari_vqad.score(volume, mask=mask, bundle=tiny_pca, device="cpu").reproduction()
    assert " score scan.nii.gz " in found.command
    assert "--mask mask.nii.gz" in found.command
    assert [sentence[:9] for sentence in found.missing] == ["The scan ", "The brain"]
