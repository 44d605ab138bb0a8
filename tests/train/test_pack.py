"""Real scans, packed by the real command."""

import json

from napari_vqad.cli import main
from napari_vqad.imaging.template import Template
from napari_vqad.resources import models_folder
from napari_vqad.train.data import Stack


def test_packing_real_scans(shared_data, tmp_path, monkeypatch):
    """Three subjects of each split: packed files hold what the folder holds."""
    from napari_vqad.train import data as module

    few = module.ixi_subjects
    monkeypatch.setattr(module, "ixi_subjects", lambda folder, split: few(folder, split)[:1])
    # That of all training subjects: grey values are harmonised to it, and one subject is no population.
    Template.load(models_folder() / "ixi-aligned").save(tmp_path)
    assert (
        main(
            [
                "train",
                "pack",
                "--config",
                "ixi-aligned",
                "--data",
                str(shared_data / "ixi_t1_2mm"),
                "--out",
                str(tmp_path),
            ]
        )
        == 0
    )
    stack = Stack.load(tmp_path / "validation.npz")
    assert stack.levels.shape[1:] == (72, 88)
    assert 55 < len(stack) < 85
    assert json.dumps(stack.clip) == "[-3.0, 4.0]"
    inside = stack.slices()[stack.mask]
    assert abs(inside.mean()) < 0.1
    assert abs(inside.std() - 1) < 0.1
