"""Bundles: load what was saved, refuse what does not fit, in one sentence."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_vqad.detectors.bundle import Bundle, fingerprint, same_grid
from napari_vqad.detectors.bundle_checks import MADE_WITH
from napari_vqad.detectors.fetch import fetch
from napari_vqad.detectors.library import find, list_bundles
from napari_vqad.detectors.settings import Settings
from napari_vqad.errors import InputError
from napari_vqad.imaging.template import Template
from napari_vqad.nets.vq.vqvae import VQVAE, TokenizerConfig
from napari_vqad.nets.weights import load_weights, save_weights
from napari_vqad.resources import models_folder


@pytest.fixture
def copy(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "copy")


def test_loads(tiny_bundle):
    bundle = Bundle.load(tiny_bundle, "cpu")
    assert (bundle.name, bundle.title, bundle.detector.levels.shape) == ("tiny", "Tiny", (4, 5))
    assert not bundle.detector.tokenizer.training
    assert not any(p.requires_grad for p in bundle.detector.prior.parameters())
    assert list_bundles(tiny_bundle.parent) == [tiny_bundle]


def test_save_and_load_give_the_same_network(tmp_path):
    config = TokenizerConfig(channels=(8, 8), blocks=(1, 1), n_codes=8, code_dim=4)
    model = VQVAE(config).half().float().eval()
    save_weights(model, tmp_path / "w.safetensors")
    again = load_weights(VQVAE(config), tmp_path / "w.safetensors")
    x = torch.randn(1, 1, 16, 16)
    assert torch.equal(model.encode(x, torch.zeros(1)), again.encode(x, torch.zeros(1)))


def test_the_hash_follows_the_weights(copy, tiny_bundle):
    assert fingerprint(copy) == fingerprint(tiny_bundle)
    tensors = load_file(copy / "prior.safetensors")
    tensors["head.3.bias"] += 1
    save_file(tensors, copy / "prior.safetensors")
    assert fingerprint(copy) != fingerprint(tiny_bundle)


def refused(folder, *words):
    with pytest.raises(InputError) as caught:
        Bundle.load(folder, "cpu")
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence


def test_refuses_what_is_not_there(tmp_path):
    refused(tmp_path / "nowhere", "nowhere")


@pytest.mark.parametrize("name", ["tokenizer.safetensors", "prior.safetensors", "calibration.json"])
def test_refuses_a_missing_file(copy, name):
    (copy / name).unlink()
    refused(copy, name, "missing")


@pytest.mark.parametrize("name", ["tokenizer.safetensors", "prior.safetensors"])
def test_refuses_broken_weights(copy, name):
    (copy / name).write_bytes((copy / name).read_bytes()[:200])
    refused(copy, name, "readable")


@pytest.mark.parametrize("name", ["config.json", "calibration.json"])
def test_refuses_broken_json(copy, name):
    (copy / name).write_text("{")
    refused(copy, name, "JSON")


def edit(folder, change):
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_refuses_an_unknown_version(copy):
    edit(copy, lambda c: c.update(version=2))
    refused(copy, "config.json", "version")


def test_refuses_another_shape(copy):
    edit(copy, lambda c: c["tokenizer"].update(n_codes=17))
    refused(copy, "tokenizer.safetensors", "codebook.vectors", "(16, 8)", "(17, 8)")


def test_refuses_a_missing_and_an_unknown_tensor(copy):
    tensors = load_file(copy / "prior.safetensors")
    save_file({k: v for k, v in tensors.items() if k != "embed.weight"}, copy / "prior.safetensors")
    refused(copy, "prior.safetensors", "embed.weight")
    save_file(tensors | {"more": torch.zeros(1)}, copy / "prior.safetensors")
    refused(copy, "prior.safetensors", "more")


def test_refuses_a_device_that_is_not_there(tiny_bundle):
    with pytest.raises(InputError, match="abacus"):
        Bundle.load(tiny_bundle, "abacus")


def test_methods_are_those_of_its_prior(tiny_bundle, tiny_masked):
    causal, masked = Bundle.load(tiny_bundle, "cpu"), Bundle.load(tiny_masked, "cpu")
    assert set(causal.detector.variants) == {"anchored", "sequential", "light", "regenerative"}
    assert masked.detector.variants == ("masked", "regenerative")
    # Nobody chose a method: the bundle's own. Somebody did: one sentence.
    assert causal.validated(Settings()).method == "anchored"
    assert masked.validated(Settings(k=1.0)) == Settings(k=1.0, method="masked")
    with pytest.raises(InputError, match=r"^Tiny, masked has no method 'light'; choose masked or regenerative\.$"):
        masked.validated(Settings(method="light"))
    with pytest.raises(InputError, match="anchored or"):
        causal.validated(Settings(method="masked"))
    assert causal.detector.causal is causal.detector.prior
    with pytest.raises(InputError, match="needs a causal one"):
        _ = masked.detector.causal


def test_a_prior_that_has_no_place_for_the_grid_is_refused(copy):
    edit(copy, lambda c: c["prior"].update(max_side=4))
    refused(copy, "config.json", "4×5 codes")


def test_a_calibration_of_another_fused_score_is_refused(tmp_path):
    """Thresholds and levelling would be wrong, and nobody would see it."""
    copy = fetch("ixi-masked", str(models_folder()), tmp_path)
    assert Bundle.load(copy, "cpu").calibration.fused == MADE_WITH
    table = json.loads((copy / "calibration.json").read_text())
    (copy / "calibration.json").write_text(json.dumps(table | {"fused": MADE_WITH | {"Huber SD": 1.0}}))
    refused(copy, "another fused score", "napari-vqad calibrate")


def test_a_grid_is_the_same_with_the_same_sizes_and_template(tiny_bundle, tiny_masked, tmp_path):
    aligned = find("ixi-aligned")
    assert same_grid(tiny_bundle, tiny_masked)
    assert same_grid(aligned, find("ixi-masked"))
    assert not same_grid(tiny_bundle, aligned)
    other = tmp_path / "other"
    other.mkdir()
    shutil.copyfile(aligned / "config.json", other / "config.json")
    template = Template.load(aligned)
    replace(template, mean=template.mean + 0.1).save(other)
    assert not same_grid(aligned, other)


def test_settings_that_fit_are_left_as_they_are(tiny_bundle, tiny_masked, tiny_two):
    causal, masked, two = (Bundle.load(folder, "cpu") for folder in (tiny_bundle, tiny_masked, tiny_two))
    first = Settings()
    assert causal.coerce(first) is first
    # Nobody chose `anchored`: a model of another kind may take its own method.
    assert masked.validated(causal.validated(Settings())).method == "masked"
    assert two.validated(Settings(level="top")).level == "top"
    assert causal.coerce(Settings(level="top")).level == "all"
    with pytest.raises(InputError, match="has no NLL of level 'top'; choose all"):
        causal.validated(Settings(level="top"))
