"""The q-space detector: settings, config, and the normal voxels of a bundle."""

import json
import shutil
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.numpy import load, save

from napari_vqad.detectors.bundle import Bundle, read_config
from napari_vqad.detectors.qspace import reference as stored
from napari_vqad.detectors.qspace.config import QSpaceConfig
from napari_vqad.detectors.qspace.settings import NoveltyName
from napari_vqad.errors import InputError
from napari_vqad.nets.voxel_vae import VoxelVAE, VoxelVAESizes
from napari_vqad.scores.novelty.compute import novelty
from napari_vqad.scores.novelty.table import SCORES


@pytest.fixture
def copy(tiny_qspace, tmp_path):
    """A copy of the tiny bundle that a test may damage."""
    return shutil.copytree(tiny_qspace, tmp_path / "copy", ignore=shutil.ignore_patterns(".training"))


def test_the_setting_offers_all_scores():
    assert set(get_args(NoveltyName)) == set(SCORES)


def test_the_bundle_has_a_table_for_each_score(tiny_qspace):
    bundle = Bundle.load(tiny_qspace, "cpu")
    assert bundle.detector.variants == ("latent_distance", "input_distance", "elbo_sampled", "closest_distance")
    assert bundle.choices["novelty"] == bundle.detector.variants
    assert set(bundle.calibration.residual) == set(bundle.detector.variants)
    assert {kind.split()[0] for kind in bundle.calibration.pixel_score} == set(bundle.detector.variants)
    # Zero is the middle of the normal voxels, and 1 their 84th percentile; the calibration is of another scan.
    for table in bundle.calibration.residual.values():
        assert np.interp(50, bundle.calibration.levels, table) == pytest.approx(0, abs=0.5)
        assert np.interp(84, bundle.calibration.levels, table) == pytest.approx(1, abs=0.6)


def test_codes_give_the_same_scores_as_the_voxels_they_come_from():
    torch.manual_seed(0)
    vae = VoxelVAE(VoxelVAESizes.of("8", 10)).eval().requires_grad_(False)
    y, x = np.random.default_rng(0).uniform(0.5, 1.5, (2, 40, 10)).astype(np.float32)
    x = torch.from_numpy(x)
    cpu = torch.device("cpu")
    codes, voxels = (stored.make_reference(vae, stored.arrays_of(vae, y, kind), cpu) for kind in ("codes", "voxels"))
    names = [name for name, score in SCORES.items() if "reference" in score.needs and name not in stored.OF_VOXELS]
    assert len(names) == 8
    one, other = (novelty(names, x, vae, reference) for reference in (codes, voxels))
    for name in names:
        np.testing.assert_allclose(one[name], other[name], rtol=0.02, atol=0.02, err_msg=name)


def spoiled(folder, change):
    parts = load((folder / stored.FILE).read_bytes())
    (folder / stored.FILE).write_bytes(save(change(parts)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: {"mean": p["voxels"]}, "does not hold the normal voxels that config.json announces"),
        (lambda p: {"voxels": p["voxels"][:, :-1]}, "does not hold the normal voxels"),
        (lambda p: {"voxels": p["voxels"][:0]}, "does not hold the normal voxels"),
        (lambda p: {"voxels": p["voxels"].astype(np.float32)}, "another kind of numbers than half precision"),
    ],
)
def test_other_normal_voxels_are_refused(copy, change, words):
    spoiled(copy, change)
    with pytest.raises(InputError, match=words):
        Bundle.load(copy, "cpu")


def test_a_bundle_of_codes_has_no_measurements_of_normal_voxels(copy):
    bundle = Bundle.load(copy, "cpu")
    network, y = bundle.detector.network, bundle.detector.arrays["voxels"].astype(np.float32)
    stored.write_reference(stored.arrays_of(network, y, "codes"), copy)
    given = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(given | {"reference": "codes"}))
    with pytest.raises(InputError, match="weights"):  # the calibration is of the other reference
        Bundle.load(copy, "cpu")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["grid"].update(measurements=None),
        lambda c: c["channel_means"].pop(),
        lambda c: c["network"].update(measurements=9),
        lambda c: c["scores"].update(latent_distance=[1.0, 1.0]),
        lambda c: c["scores"].update(surprise=[0.0, 1.0]),
        lambda c: c.update(scores={}),
        lambda c: c["grid"].update(aligned=True),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(tiny_qspace, change):
    given = json.loads((tiny_qspace / "config.json").read_text())
    assert QSpaceConfig(**given) == read_config(tiny_qspace)
    change(given)
    with pytest.raises(ValidationError):
        QSpaceConfig(**given)
