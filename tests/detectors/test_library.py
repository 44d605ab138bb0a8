"""Where bundles are looked for."""

import os
import shutil

import pytest

from napari_vqad.detectors import library
from napari_vqad.errors import InputError


@pytest.fixture
def folders(tiny_bundle, tmp_path, monkeypatch):
    """Two folders of the user's choice, that of the package, and that of fetched ones, a bundle in each."""
    made = {name: tmp_path / name for name in ("mine", "ours", "package", "fetched")}
    for name, folder in made.items():
        shutil.copytree(tiny_bundle, folder / f"of-{name}")
    monkeypatch.setenv(library.VARIABLE, os.pathsep.join([str(made["mine"]), str(made["ours"])]))
    monkeypatch.setattr(library, "models_folder", lambda: made["package"])
    monkeypatch.setattr(library, "fetched_folder", lambda: made["fetched"])
    return made


def test_all_places_are_looked_into_in_their_order(folders):
    names = ["of-mine", "of-ours", "of-package", "of-fetched"]
    assert [folder.name for folder in library.list_bundles()] == names
    for name, folder in zip(names, folders.values(), strict=True):
        assert library.find(name) == folder / name


def test_of_two_with_one_name_the_users_comes_first(folders, tiny_bundle):
    for name in ("package", "ours"):
        shutil.copytree(tiny_bundle, folders[name] / "same")
    assert library.find("same") == folders["ours"] / "same"
    assert [folder for folder in library.list_bundles() if folder.name == "same"] == [folders["ours"] / "same"]


def test_places_that_are_not_there_do_no_harm(folders, monkeypatch, tmp_path):
    monkeypatch.setenv(library.VARIABLE, os.pathsep.join(["", str(tmp_path / "nowhere"), ""]))
    assert [folder.name for folder in library.list_bundles()] == ["of-package", "of-fetched"]


def test_a_bundle_that_is_nowhere(folders):
    with pytest.raises(InputError, match="no bundle at 'none'; the bundles at hand are: of-mine, of-ours"):
        library.find("none")


def test_one_folder_alone(folders):
    assert library.list_bundles(folders["ours"]) == [folders["ours"] / "of-ours"]
