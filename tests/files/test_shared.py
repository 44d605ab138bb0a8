"""Files that several bundles share: found by SHA-256, checked, never written into."""

import hashlib
import json
import shutil

import pytest

from napari_vqad.detectors.bundle import Bundle, fingerprint
from napari_vqad.detectors.library import list_bundles
from napari_vqad.detectors.publish import share
from napari_vqad.errors import InputError
from napari_vqad.files.shared import LIST, SHARED, has_file, path_of, read_file

NAME = "tokenizer.safetensors"


@pytest.fixture
def models(tiny_bundle, tmp_path):
    """A folder with two bundles that share all weights."""
    folder = tmp_path / "models"
    for name in ("one", "two"):
        shutil.copytree(tiny_bundle, folder / name)
    share(folder)
    return folder


def test_weights_are_stored_once_and_bundles_stay_the_same(models, tiny_bundle):
    content = (tiny_bundle / NAME).read_bytes()
    path = models / SHARED / f"{hashlib.sha256(content).hexdigest()}.safetensors"
    assert path.read_bytes() == content
    assert len(list((models / SHARED).iterdir())) == 2  # tokenizer and prior
    assert list_bundles(models) == [models / "one", models / "two"]
    for name in ("one", "two"):
        assert not (models / name / NAME).exists()
        assert has_file(models / name, NAME)
        assert path_of(models / name, NAME) == path
        assert fingerprint(models / name) == fingerprint(tiny_bundle)
        assert Bundle.load(models / name, "cpu").hash == Bundle.load(tiny_bundle, "cpu").hash


def test_sharing_again_changes_nothing(models):
    before = {p: p.read_bytes() for p in models.rglob("*") if p.is_file()}
    share(models)
    assert {p: p.read_bytes() for p in models.rglob("*") if p.is_file()} == before


def test_what_is_no_longer_shared_goes_back_into_its_bundle(models, tiny_bundle):
    shutil.rmtree(models / "two")
    share(models)
    assert not (models / "one" / LIST).exists()
    assert (models / "one" / NAME).read_bytes() == (tiny_bundle / NAME).read_bytes()
    assert list((models / SHARED).iterdir()) == []


def test_a_file_of_its_own_comes_first(models):
    (models / "one" / NAME).write_bytes(b"trained anew")
    assert read_file(models / "one", NAME, 100) == b"trained anew"
    assert read_file(models / "two", NAME, 10**8) != b"trained anew"


def test_a_bundle_that_was_copied_alone_says_what_is_missing(models, tmp_path):
    alone = shutil.copytree(models / "one", tmp_path / "elsewhere" / "one")
    with pytest.raises(InputError, match="copy the folder 'shared' as well"):
        Bundle.load(alone, "cpu")


def test_a_shared_file_that_was_changed_is_refused(models):
    path = path_of(models / "one", NAME)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match="is damaged: its content does not have the SHA-256"):
        Bundle.load(models / "one", "cpu")


@pytest.mark.parametrize(
    "content", ["", "[]", "{", json.dumps({NAME: "../../secret"}), json.dumps({NAME: 3}), json.dumps({NAME: "A" * 64})]
)
def test_a_list_that_is_damaged_is_refused(models, content):
    (models / "one" / LIST).write_text(content)
    with pytest.raises(InputError, match=LIST):
        Bundle.load(models / "one", "cpu")
    assert models / "one" in list_bundles(models)  # so that the user is told
