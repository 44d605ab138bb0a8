"""Trainings and calibrations lose nothing: not to a full disk, a damaged folder, or another process."""

import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from napari_vqad.cli import main
from napari_vqad.detectors.bundle import Bundle
from napari_vqad.files.lock import locked
from napari_vqad.train.facts import Facts
from napari_vqad.train.fit import LOCK


@pytest.fixture
def bundle(tiny_bundle, tmp_path):
    return shutil.copytree(tiny_bundle, tmp_path / "tiny")


@pytest.fixture
def quick(monkeypatch):
    """A calibration that is at its end at once, with one more scan than before."""

    def calibrate(bundle, *_):
        known = Bundle.load(bundle.folder, "cpu").calibration
        return known.model_copy(update={"n_scans": known.n_scans + 1}), None

    class Nothing:
        scan = np.zeros(9, int)

        def of_brain(self):
            return self

        def __len__(self):
            return len(self.scan)

    monkeypatch.setattr("napari_vqad.train.cli.calibrate", calibrate)
    monkeypatch.setattr("napari_vqad.train.cli.with_added_tables", lambda bundle, *_: bundle.calibration)
    monkeypatch.setattr("napari_vqad.train.cli.load_stack", lambda *_: Nothing())
    monkeypatch.setattr("napari_vqad.train.cli.facts_of", lambda *_: Facts([], []))


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(capsys, *words):
    capsys.readouterr()
    assert main([str(w) for w in (*words, "--device", "cpu", "--threads", 1)]) == 2
    told = capsys.readouterr().err
    assert len(told.strip().splitlines()) == 1
    assert told.startswith("napari-vqad: ")
    return told


def calibrate(folder, data):
    return ("calibrate", folder, "--data", data)


def train(out, data, what="tokenizer"):
    return ("train", what, "--config", "ixi-aligned", "--data", data, "--out", out)


def test_a_calibration_is_written_with_its_card(bundle, quick, tmp_path):
    assert main([*map(str, calibrate(bundle, tmp_path)), "--device", "cpu", "--threads", "1"]) == 0
    assert Bundle.load(bundle, "cpu").calibration.n_scans == 2
    assert "Calibrated on 2 further subjects" in (bundle / "README.md").read_text(encoding="utf-8")
    assert not [name for name in os.listdir(bundle) if name.startswith(".")]


@pytest.mark.parametrize("file", ["calibration.json", "README.md"])
def test_a_full_disk_leaves_calibration_and_card_as_they_were(file, bundle, quick, tmp_path, capsys, monkeypatch):
    before, replace = bytes_of(bundle), os.replace

    def full(source, target):
        if str(target) == str(bundle / file) and "before" not in str(source):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", full)
    assert "No space left" in refused(capsys, *calibrate(bundle, tmp_path))
    assert bytes_of(bundle) == before


def test_a_bundle_that_cannot_be_written_to_is_told_before_the_work(bundle, tmp_path, capsys, monkeypatch):
    def sealed(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("napari_vqad.train.cli.calibrate", lambda *_: pytest.fail("the work began"))
    monkeypatch.setattr("tempfile.mkdtemp", sealed)
    assert "Read-only" in refused(capsys, *calibrate(bundle, tmp_path))


@pytest.mark.parametrize("what", ["tokenizer", "prior", "pack"])
@pytest.mark.parametrize("kind", ["a file", "below a file", "no name", "over-long"])
def test_an_out_that_is_no_folder_is_told_before_the_data_are_read(what, kind, tmp_path, capsys, monkeypatch):
    for name in ("load_stack", "load_grids", "ixi_scans"):
        monkeypatch.setattr(f"napari_vqad.train.cli.{name}", lambda *_: pytest.fail("the data were read"))
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    out = {"a file": "file", "below a file": "file/x", "no name": "", "over-long": "x" * 300}[kind]
    refused(capsys, *train(tmp_path / out if out else "", tmp_path, what))
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("record", "training.json"),
        ("record of bytes", "training.json"),
        ("work is a file", ".training"),
        ("checkpoint", "checkpoint.safetensors"),
    ],
)
def test_what_is_damaged_is_told_before_the_data_are_read(kind, named, tmp_path, capsys, monkeypatch):
    for name in ("load_stack", "ixi_scans"):
        monkeypatch.setattr(f"napari_vqad.train.cli.{name}", lambda *_: pytest.fail("the data were read"))
    out = tmp_path / "out"
    (out / ".training").mkdir(parents=True)
    if kind == "record":
        (out / "training.json").write_text('{"tokenizer": {"steps": "many"}}', encoding="utf-8")
    elif kind == "record of bytes":
        (out / "training.json").write_bytes(b"\xff\x00")
    elif kind == "work is a file":
        (out / ".training").rmdir()
        (out / ".training").write_text("", encoding="utf-8")
    else:
        (out / ".training" / "tokenizer").mkdir()
        (out / ".training" / "tokenizer" / "checkpoint.safetensors").write_bytes(b"\x08")
    before = bytes_of(out)
    assert named in refused(capsys, *train(out, tmp_path))
    assert bytes_of(out) == before


def test_a_damaged_record_stops_a_calibration_before_the_work(bundle, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("napari_vqad.train.cli.calibrate", lambda *_: pytest.fail("the work began"))
    (bundle / "training.json").write_text("{", encoding="utf-8")
    assert "training.json is not readable JSON. Remove it" in refused(capsys, *calibrate(bundle, tmp_path))


@pytest.mark.parametrize("command", [calibrate, train])
def test_two_at_work_in_one_bundle_are_refused(command, bundle, tmp_path, capsys):
    before = bytes_of(bundle)
    with locked(bundle / LOCK, "busy", wait=0):
        assert "Another training or calibration" in refused(capsys, *command(bundle, tmp_path))
    assert bytes_of(bundle) == before


def test_weights_on_a_full_disk_are_one_sentence_and_the_old_ones_stay(bundle, monkeypatch):
    from napari_vqad.errors import InputError
    from napari_vqad.nets.weights import save_weights

    loaded, before = Bundle.load(bundle, "cpu"), (bundle / "prior.safetensors").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InputError, match="no space left"):
        save_weights(loaded.detector.prior, bundle / "prior.safetensors")
    assert (bundle / "prior.safetensors").read_bytes() == before
    assert load_file(bundle / "prior.safetensors")
