"""Bundles are fetched whole and checked, or not at all; the registry is that of models/."""

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from napari_vqad.cli import main
from napari_vqad.detectors import fetch as fetching
from napari_vqad.detectors import library
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.detectors.fetch import fetch
from napari_vqad.detectors.known_models import REGISTRY, known_models
from napari_vqad.detectors.publish import registry_of, share
from napari_vqad.errors import InputError
from napari_vqad.resources import models_folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def models(tiny_bundle, tmp_path, monkeypatch):
    """A folder with two bundles that share weights, which the package knows."""
    folder = tmp_path / "models"
    for name in ("one", "two"):
        shutil.copytree(tiny_bundle, folder / name)
    share(folder)
    registry = tmp_path / "known.json"
    registry.write_text(registry_of(folder), encoding="utf-8")
    monkeypatch.setattr(fetching, "known_models", partial(known_models, registry))
    monkeypatch.setattr("napari_vqad.detectors.known_models.known_models", partial(known_models, registry))
    return folder


@pytest.fixture(params=["folder", "address"])
def source(request, models):
    """The bundles in a folder, and at an address of this machine."""
    if request.param == "folder":
        yield str(models)
        return
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(models)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_the_registry_is_that_of_the_models():
    """After a change under models/: python -m napari_vqad.detectors.publish"""
    assert REGISTRY.read_text(encoding="utf-8") == registry_of(models_folder()), (
        "models/ has changed; run 'python -m napari_vqad.detectors.publish'"
    )


def test_weights_that_bundles_have_alike_are_shared():
    """As `publish` leaves them; else the wheel grows."""
    own = [p for folder in library.list_bundles(models_folder()) for p in folder.glob("*.safetensors")]
    hashes = [
        file.sha256
        for model in known_models().values()
        for name, file in model.files.items()
        if name in {p.name for p in own}
    ]
    by_size = {}
    for path in own:
        by_size.setdefault(path.stat().st_size, []).append(path)
    alike = [paths for paths in by_size.values() if len({p.read_bytes() for p in paths}) < len(paths)]
    assert alike == []
    assert hashes


def test_a_fetched_bundle_is_complete(source, tmp_path, tiny_bundle):
    folder = fetch("one", source, tmp_path / "into")
    assert folder == tmp_path / "into" / "one"
    assert {p.name for p in folder.iterdir()} == {p.name for p in tiny_bundle.iterdir()}
    assert Bundle.load(folder, "cpu").hash == Bundle.load(tiny_bundle, "cpu").hash


@pytest.mark.parametrize("harm", ["changed", "missing"])
def test_a_file_that_is_not_the_known_one_leaves_nothing(source, models, tmp_path, harm):
    (file,) = [p for p in (models / "shared").iterdir() if p.stat().st_size == max(_sizes(models))]
    if harm == "changed":
        file.write_bytes(file.read_bytes()[:-1] + b"x")
    else:
        file.unlink()
    with pytest.raises(InputError, match=r"one/\w+\.safetensors cannot be had from ") as refused:
        fetch("one", source, tmp_path / "into")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "into").exists()


def test_what_was_fetched_before_stays_when_the_next_try_fails(models, tmp_path):
    folder = fetch("one", str(models), tmp_path / "into")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    with pytest.raises(InputError):
        fetch("one", str(tmp_path / "nowhere"), tmp_path / "into")
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_a_model_that_the_package_does_not_know(models, tmp_path):
    with pytest.raises(InputError, match="knows no model 'three'; it knows one, two"):
        fetch("three", str(models), tmp_path)


def test_an_address_that_nobody_answers(models, tmp_path):
    with pytest.raises(InputError, match="cannot be reached"):
        fetch("one", "http://127.0.0.1:9", tmp_path / "into")


def test_the_commands(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(library, "models_folder", lambda: tmp_path / "empty")
    monkeypatch.setattr(library, "fetched_folder", lambda: tmp_path / "fetched")
    monkeypatch.setattr(fetching, "fetched_folder", lambda: tmp_path / "fetched")
    monkeypatch.delenv(library.VARIABLE, raising=False)
    assert main(["models"]) == 0
    assert "models get one --from SOURCE" in capsys.readouterr().out
    assert main(["models", "get", "one", "--from", str(models)]) == 0
    assert str(tmp_path / "fetched" / "one") in capsys.readouterr().out
    assert main(["models"]) == 0
    told = capsys.readouterr().out
    assert str(tmp_path / "fetched" / "one") in told
    assert "models get one" not in told
    assert "models get two" in told
    assert main(["models", "get", "none", "--from", str(models)]) == 2


def _sizes(models):
    return [p.stat().st_size for p in (models / "shared").iterdir()]
