"""Bundles that are damaged, hostile, or put together of two: refused as a whole, before memory is taken for them."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_vqad.detectors import tuned
from napari_vqad.detectors.bundle import Bundle, fingerprint
from napari_vqad.detectors.library import list_bundles
from napari_vqad.detectors.pca import FILE as LINEAR
from napari_vqad.detectors.vq import detector
from napari_vqad.errors import InputError
from napari_vqad.files import limits
from napari_vqad.fuzz.targets import make_bundle
from napari_vqad.imaging.brain_mask import bundled_network, load_network
from napari_vqad.imaging.template import FILE as TEMPLATE
from napari_vqad.nets import weights
from napari_vqad.resources import models_folder
from napari_vqad.scores.normative import FILE as PLACES
from napari_vqad.train.calibrate import calibrate
from napari_vqad.train.data import Stack


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tiny bundle with every part that there is."""
    folder = tmp_path_factory.mktemp("models") / "whole"
    make_bundle(folder)
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "copy")


def refused(folder, *words):
    with pytest.raises(InputError) as caught:
        Bundle.load(folder, "cpu")
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence


def edit(path, keys, value):
    """Change one value of a JSON file; None takes it out."""
    tree = given = json.loads(path.read_text())
    *way, last = keys
    for key in way:
        given = given[key]
    if value is None:
        del given[last]
    else:
        given[last] = value
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize("folder", list_bundles(), ids=lambda p: p.name)
def test_every_bundle_that_comes_along_loads(folder):
    bundle = Bundle.load(folder, "cpu")
    assert bundle.hash == fingerprint(folder)


def test_the_brain_mask_network_that_comes_along_loads():
    assert bundled_network().out.weight.isfinite().all()


@pytest.mark.parametrize(
    "name", ["tokenizer.safetensors", "prior.safetensors", "calibration.json", TEMPLATE, PLACES, LINEAR]
)
@pytest.mark.parametrize("instead", ["pipe", "device"])
def test_a_pipe_or_a_device_in_a_bundle_is_refused(copy, name, instead):
    (copy / name).unlink()
    if instead == "pipe":
        os.mkfifo(copy / name)
    else:
        (copy / name).symlink_to("/dev/zero")
    refused(copy, name, f"a {instead}")
    if name == "prior.safetensors":
        assert list_bundles(copy.parent) == []


CONFIGS = {
    "channels": (["tokenizer", "channels"], [10**9, 10**9]),
    "blocks": (["tokenizer", "blocks"], [10**9, 1]),
    "codes": (["tokenizer", "n_codes"], 10**12),
    "odd patch": (["tokenizer", "patch"], 3),
    "layers": (["prior", "blocks"], 10**9),
    "places": (["prior", "max_side"], 10**9),
    "heads": (["prior", "heads"], 3),
    "even kernel": (["prior", "kernel"], 4),
    "kind": (["prior", "kind"], [[]]),
    "no prior": (["prior"], 7),
    "spacing zero": (["grid", "spacing"], 0),
    "spacing below zero": (["grid", "spacing"], -4.0),
    "shape": (["grid", "shape"], [10**9, 24]),
    "shape of half a code": (["grid", "shape"], [17, 24]),
    "clip": (["grid", "clip"], [4.0, -3.0]),
    "unknown": (["grid", "more"], 1),
    "title": (["title"], ["a"]),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_config_that_no_model_has_is_refused(copy, what):
    edit(copy / "config.json", *CONFIGS[what])
    refused(copy, "config.json does not fit")


def test_a_network_larger_than_the_limit_is_refused_before_there_is_room_for_it(copy, monkeypatch):
    edit(copy / "config.json", ["tokenizer", "channels"], [4096, 4096])
    refused(copy, "config.json asks for a network of", "at most 4.0 GiB")
    edit(copy / "config.json", ["tokenizer", "channels"], [1024, 1024])  # allowed, and not what is in the file
    monkeypatch.setattr(weights, "_filled", lambda *_: pytest.fail("there was room for it"))
    refused(copy, "tokenizer.safetensors", "where config.json asks for")


def test_a_newer_bundle_is_refused_as_such(copy):
    edit(copy / "config.json", ["version"], 2)
    edit(copy / "config.json", ["something_new"], {"a": 1})
    refused(copy, "config.json is of version 2, newer than this napari-vqad", "upgrade")


TABLES = {
    "a value that is no number": (["nll", 5], None),
    "falling": (["nll"], "reversed"),
    "levels that fall": (["levels"], "reversed"),
    "a level twice": (["levels", 5], 4.0),
    "a level beyond 100": (["levels", -1], 200.0),
    "too large": (["residual", "light", -1], 1e999),
    "fewer findings than none": (["findings", "light none plain", 3], -1.0),
    "another key": (["slice_score", "50.0"], [0.0] * 113),
    "no scans": (["n_scans"], 0),
}


@pytest.mark.parametrize("what", TABLES)
def test_tables_that_are_no_quantiles_are_refused(copy, what):
    keys, value = TABLES[what]
    if value == "reversed":
        value = json.loads((copy / "calibration.json").read_text())[keys[0]][::-1]
    edit(copy / "calibration.json", keys, value)
    refused(copy, "calibration.json")


def test_a_calibration_of_another_model_is_refused(copy, tiny_bundle, tiny_masked, tiny_two, tmp_path):
    pairs = ((tiny_bundle, tiny_masked), (tiny_masked, tiny_bundle), (tiny_two, tiny_bundle))
    for n, (mine, other) in enumerate(pairs):
        mixed = shutil.copytree(mine, tmp_path / str(n))
        shutil.copyfile(other / "calibration.json", mixed / "calibration.json")
        refused(mixed, "for another model", "napari-vqad calibrate")
    edit(copy / "calibration.json", ["pixel_score", "light none plain"], None)
    refused(copy, "for another model", "light none plain")


def test_a_calibration_with_a_table_that_the_detector_does_not_declare_is_refused(copy):
    edit(copy / "calibration.json", ["novelty"], [1.0] * 113)
    refused(copy, "for another model: it has a table 'novelty', which the model has not")


def test_a_calibration_names_the_weights_that_it_is_of(copy, healthy_stack):
    bundle = Bundle.load(copy, "cpu")
    calibration, places = calibrate(bundle, healthy_stack, lambda _: None)
    assert calibration.weights == bundle.weights
    (copy / "calibration.json").write_text(calibration.model_dump_json())
    places.save(copy)
    assert Bundle.load(copy, "cpu").calibration.weights == bundle.weights
    tensors = load_file(copy / "prior.safetensors")
    save_file({k: v + 0.1 for k, v in tensors.items()}, copy / "prior.safetensors")
    refused(copy, "calibrated with other weights", "napari-vqad calibrate")


@pytest.fixture
def healthy_stack():
    rng = np.random.default_rng(0)
    mask = np.zeros((6, 16, 24), bool)
    mask[:, 4:12, 6:18] = True
    levels = np.where(mask, rng.integers(80, 200, mask.shape), 30).astype(np.uint8)
    return Stack(levels, mask, np.linspace(-0.5, 0.5, 6, dtype=np.float32), np.repeat([0], 6), (-3.0, 4.0))


def test_healthy_means_by_place_of_another_model_are_refused(copy, whole):
    (copy / PLACES).unlink()  # the thresholds by place would be applied to plain scores
    refused(copy, "do not belong together")
    tensors = load_file(whole / PLACES)
    save_file({k: v for k, v in tensors.items() if k != "linear"}, copy / PLACES)
    refused(copy, "do not belong together")
    fewer = {k: v[:, :2].contiguous() if k != "shape" else torch.tensor([4, 16, 24]) for k, v in tensors.items()}
    save_file(fewer, copy / PLACES)
    refused(copy, "do not belong together")
    save_file(tensors | {"nll": torch.zeros(2, 3, 8, 12)}, copy / PLACES)
    refused(copy, "does not hold healthy means by place")


def test_a_template_of_another_grid_is_refused(copy):
    tensors = load_file(copy / TEMPLATE)
    numbers = tensors["numbers"].clone()
    numbers[0] = 4.0
    save_file(tensors | {"numbers": numbers}, copy / TEMPLATE)
    refused(copy, "template.safetensors", "at 4 mm, and config.json asks for 16×24 at 8 mm")
    numbers[0], numbers[2] = 8.0, 0.0  # SD
    save_file(tensors | {"numbers": numbers}, copy / TEMPLATE)
    refused(copy, "template.safetensors is not a template")
    save_file(tensors | {"mask": torch.zeros_like(tensors["mask"])}, copy / TEMPLATE)
    refused(copy, "template.safetensors is not a template")


@pytest.mark.parametrize("name", ["tokenizer.safetensors", TEMPLATE, PLACES, LINEAR])
def test_values_that_are_not_finite_are_refused(copy, name):
    tensors = load_file(copy / name)
    key = next(k for k, v in tensors.items() if v.is_floating_point())
    tensors[key].view(-1)[0] = torch.nan
    save_file(tensors, copy / name)
    refused(copy, name, "not finite numbers")


def test_weights_in_bfloat16_are_read_and_whole_numbers_for_weights_are_not(copy):
    name = "prior.safetensors"
    (copy / tuned.FILE).unlink(missing_ok=True)  # it names the weights that it was tuned with
    tensors = {k: v.bfloat16() for k, v in load_file(copy / name).items()}
    save_file(tensors, copy / name)
    loaded = Bundle.load(copy, "cpu").detector.prior.state_dict()
    assert all(torch.equal(loaded[k], v.float()) for k, v in tensors.items())
    save_file({k: v.to(torch.float8_e4m3fn) for k, v in tensors.items()}, copy / name)
    refused(copy, name, "F8_E4M3, which is not read")
    save_file({k: v.to(torch.int16) for k, v in tensors.items()}, copy / name)
    refused(copy, name, "another kind of number")


def test_a_bundle_that_is_replaced_while_it_loads_has_the_hash_of_what_was_loaded(copy, whole, monkeypatch):
    before, made = fingerprint(copy), detector.make_prior

    def replaced(*args):
        """By the time that the networks are made, other weights are there."""
        tensors = load_file(whole / "tokenizer.safetensors")
        save_file({k: v + 1 for k, v in tensors.items()}, copy / "tokenizer.safetensors")
        return made(*args)

    monkeypatch.setattr(detector, "make_prior", replaced)
    loaded = Bundle.load(copy, "cpu")
    assert loaded.hash == before != fingerprint(copy)
    wanted = load_file(whole / "tokenizer.safetensors")["codebook.vectors"].float()
    assert torch.equal(loaded.detector.tokenizer.state_dict()["codebook.vectors"], wanted)


def test_a_sparse_file_of_weights_is_not_read(copy):
    os.truncate(copy / "prior.safetensors", 6 * 2**30)
    refused(copy, "prior.safetensors is too large: it has 6.0 GiB")


def test_a_folder_of_very_many_models_is_not_searched(tmp_path, monkeypatch):
    for n in range(4):
        (tmp_path / str(n)).mkdir()
    monkeypatch.setattr(limits, "SEARCH_FILES", 3)
    with pytest.raises(InputError, match="holds more than 3"):
        list_bundles(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("channels", [10**9]), ("channels", [8, 16, 33]), ("channels", []), ("sides", [1, 1, 1]), ("spacing", 2.0)],
)
def test_a_brain_mask_network_that_does_not_fit_is_refused(tmp_path, key, value):
    folder = shutil.copytree(models_folder() / "brainmask-t1", tmp_path / "mask")
    edit(folder / "config.json", [key], value)
    with pytest.raises(InputError, match=r"config\.json does not fit"):
        load_network(folder)
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="nested too deeply"):
        load_network(folder)
