"""`--preset` is the same in all commands."""

import pytest

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.presets import PRESETS, title_of, with_preset
from napari_vqad.detectors.settings import Settings
from napari_vqad.imaging.layout import to_grid
from napari_vqad.train.data import Stack

COMMANDS = {
    "score": "score {data}/case01_t1.nii.gz --mask {data}/case01_mask.nii.gz -o {out} --bundle {bundle}",
    "testset": "evaluate testset {data} --bundle {bundle}",
    "validation": "evaluate validation {packed} --bundle {bundle}",
    "grid": "evaluate grid --data {data} --validation {packed} --bundles {bundle}",
    "table": "evaluate table --data {data} -o {out} --bundles {bundle}",
    "findings": "evaluate findings {data}/case01_t1.nii.gz --bundle {bundle}",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_applies_the_preset(name, case_folder, tiny_pca, head, tmp_path, capsys):
    spec = Bundle.load(tiny_pca, "cpu").config.grid
    Stack.of([to_grid(*head, spec)], spec).save(tmp_path / "validation.npz")
    words = COMMANDS[name].format(data=case_folder, packed=tmp_path, out=tmp_path / "out", bundle=tiny_pca).split()
    # The tiny model has no healthy tables of the preset's pooling, which each command must say.
    assert main([*words, "--preset", "baur-2018", "--device", "cpu"]) == 2
    assert "without pooling 'baur'; run 'napari-vqad calibrate" in capsys.readouterr().err


def test_flags_take_precedence_and_none_is_no_flag():
    found = with_preset("baur-2018", 0.008, {"pooling": None, "score": "normative", "n_restorations": 2})
    assert found == {**PRESETS["Baur 2018"].settings(0.008), "score": "normative", "n_restorations": 2}
    assert with_preset(None, 0.008, {"pooling": None, "k": 2.0}) == {"k": 2.0}


def test_settings_know_their_preset():
    for title, preset in PRESETS.items():
        assert title_of(Settings(**preset.settings(0.064)), 0.064) == title
    assert title_of(Settings(**PRESETS["Baur 2018"].settings(0.064)), 0.008) is None  # another smallest size
