"""No file that an analysis reads, and none of another scan, is overwritten; a bad folder is told before the work."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import napari_vqad.scoring
from napari_vqad.cli import main
from napari_vqad.detectors.settings import Settings
from napari_vqad.errors import InputError
from napari_vqad.export import output_folder
from napari_vqad.export.output_folder import belongs_to, known_files
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import read_scan, write_map
from napari_vqad.scoring import score

QUICK = Settings(n_restorations=1, method="light", slices=(8, 10))


@pytest.fixture
def files(head, tmp_path):
    """head.nii.gz, mask.nii.gz."""
    volume, mask = head
    write_map(tmp_path / "head.nii.gz", volume.voxels, volume)
    write_map(tmp_path / "mask.nii.gz", mask.astype(np.uint8), volume)
    return tmp_path


@pytest.fixture(scope="module")
def first(tiny_bundle, tmp_path_factory):
    """A scan that was analysed once, its mask, and `out` with the files."""
    folder = tmp_path_factory.mktemp("first")
    voxels = np.random.default_rng(0).normal(600, 40, (24, 26, 22)).astype(np.float32)
    volume = Volume.from_array(voxels, np.diag([4.0, 4, 4, 1]))
    write_map(folder / "head.nii.gz", voxels, volume)
    write_map(folder / "mask.nii.gz", np.pad(np.ones((14, 16, 12), np.uint8), 5), volume)
    run(folder / "head.nii.gz", folder / "out", folder / "mask.nii.gz", tiny_bundle)
    return folder


@pytest.fixture
def no_work(monkeypatch):
    """The analysis is not to begin."""
    monkeypatch.setattr(napari_vqad.scoring, "Explorer", lambda *_: pytest.fail("the work began"))


def run(scan, out, mask, bundle, **more):
    return score(scan, out, mask=mask, bundle=bundle, device="cpu", settings=QUICK, **more)


def bytes_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("what", ["scan", "mask"])
@pytest.mark.parametrize("name", ["restoration", "nll", "residual", "pixel_score", "flagged"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_never_takes_the_place_of_an_input(what, name, overwrite, files, tiny_bundle, no_work):
    source = {"scan": files / "head.nii.gz", "mask": files / "mask.nii.gz"}
    source[what] = source[what].rename(files / f"{name}.nii.gz")
    before = bytes_of(files)
    with pytest.raises(InputError, match=rf"{name}\.nii\.gz is read for this analysis"):
        run(source["scan"], files, source["mask"], tiny_bundle, overwrite=overwrite)
    assert bytes_of(files) == before


@pytest.mark.parametrize("kind", ["input is a link", "output is a link", "hard link", "folder is a link"])
def test_a_link_to_an_input_counts_as_the_input(kind, files, tiny_bundle, no_work):
    out, scan = files / "out", files / "head.nii.gz"
    out.mkdir()
    place = out / "nll.nii.gz"
    if kind == "input is a link":
        scan.rename(place)
        scan.symlink_to(place)
    elif kind == "output is a link":
        place.symlink_to(scan)
    elif kind == "hard link":
        os.link(scan, place)
    else:
        scan = scan.rename(place)
        (files / "elsewhere").symlink_to(out)
        out = files / "elsewhere"
    with pytest.raises(InputError, match="would be overwritten"):
        run(scan, out, files / "mask.nii.gz", tiny_bundle, overwrite=True)
    assert read_scan(scan).voxels.any()


def test_a_result_does_not_overwrite_what_it_was_made_of(files, tiny_bundle):
    mask = (files / "mask.nii.gz").rename(files / "flagged.nii.gz")
    found = run(files / "head.nii.gz", None, mask, tiny_bundle)
    before = bytes_of(files)
    for out in (files, files / "."):
        with pytest.raises(InputError, match="would be overwritten"):
            found.save(out, overwrite=True)
    assert bytes_of(files) == before


@pytest.mark.parametrize("given", ["folder", "file"])
def test_the_folder_of_a_dicom_series_is_not_written_into(given, head, make_series, tiny_bundle, tmp_path, no_work):
    volume, mask = head
    array = np.flip(volume.voxels.transpose(1, 2, 0)).clip(0).astype(np.uint16)
    affine = np.array([[0, 0, -4.0, 52], [-4, 0, 0, 60], [0, -4, 0, 52], [0, 0, 0, 1]])
    folder = make_series(tmp_path / "study", array, affine)
    before = bytes_of(folder)
    scan = folder if given == "folder" else sorted(folder.iterdir())[0]
    with pytest.raises(InputError, match="holds the DICOM series itself"):
        score(scan, folder, mask=mask, bundle=tiny_bundle, device="cpu", overwrite=True)
    assert bytes_of(folder) == before


def test_another_scans_maps_are_replaced_only_when_that_is_asked_for(head, files, tiny_bundle, capsys):
    volume, _ = head
    out, mask = files / "out", files / "mask.nii.gz"
    run(files / "head.nii.gz", out, mask, tiny_bundle)
    run(files / "head.nii.gz", out, mask, tiny_bundle)  # the same scan again
    shutil.copy(files / "head.nii.gz", files / "copy.nii.gz")
    run(files / "copy.nii.gz", out, mask, tiny_bundle)  # wherever it lies
    assert json.loads((out / "result.json").read_text(encoding="utf-8"))["scan"].endswith("copy.nii.gz")
    write_map(files / "other.nii.gz", volume.voxels + 1, volume)
    before = bytes_of(out)
    words = ["score", files / "other.nii.gz", "-o", out, "--mask", mask, "--bundle", tiny_bundle, "--device", "cpu"]
    words = [*map(str, words), "-S", "1", "--method", "light", "--slices", "8", "9"]
    capsys.readouterr()
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "holds the maps of another scan" in told
    assert "--overwrite" in told
    assert len(told.strip().splitlines()) == 1
    assert bytes_of(out) == before
    assert main([*words, "--overwrite"]) == 0
    assert belongs_to(out, read_scan(files / "other.nii.gz"))
    assert not belongs_to(out, read_scan(files / "head.nii.gz"))


def result_json(out, change):
    numbers = json.loads((out / "result.json").read_text(encoding="utf-8"))
    change(numbers)
    (out / "result.json").write_text(json.dumps(numbers), encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: (out / "result.json").write_bytes(b"\xff not json"),
        lambda out: (out / "result.json").write_text("[" * 100_000, encoding="utf-8"),
        lambda out: (out / "result.json").write_text('["scan"]', encoding="utf-8"),
        lambda out: (out / "result.json").unlink(),
        lambda out: ((out / "result.json").unlink(), os.mkfifo(out / "result.json")),
        lambda out: result_json(out, lambda n: n.update(scan_sha256="0" * 64)),
        lambda out: result_json(out, lambda n: n.update(scan_sha256=None, scan_path="/of/another.nii.gz")),
        lambda out: result_json(out, lambda n: n["scan_affine"][0].__setitem__(3, 5.0)),
        lambda out: result_json(out, lambda n: n.update(scan_affine="NaN")),
        lambda out: result_json(out, lambda n: n.update(scan_shape=[30, 32, 29])),
    ],
)
def test_a_folder_that_does_not_say_whose_it_is_counts_as_anothers(damage, first, tiny_bundle, tmp_path, no_work):
    shutil.copytree(first / "out", out := tmp_path / "out")
    assert belongs_to(out, read_scan(first / "head.nii.gz"))
    damage(out)
    with pytest.raises(InputError, match="overwrite=True"):
        run(first / "head.nii.gz", out, first / "mask.nii.gz", tiny_bundle)


def test_a_scan_without_a_hash_is_known_by_its_path_and_geometry(first, tmp_path):
    shutil.copytree(first / "out", out := tmp_path / "out")
    result_json(out, lambda n: n.pop("scan_sha256"))
    assert belongs_to(out, read_scan(first / "head.nii.gz"))
    shutil.copy(first / "head.nii.gz", tmp_path / "head.nii.gz")
    assert not belongs_to(out, read_scan(tmp_path / "head.nii.gz"))


def test_what_another_process_wrote_meanwhile_is_not_replaced(head, files, tiny_bundle, monkeypatch):
    volume, _ = head
    out = files / "out"
    found = run(files / "head.nii.gz", None, files / "mask.nii.gz", tiny_bundle)
    write_map(files / "other.nii.gz", volume.voxels + 1, volume)
    other = run(files / "other.nii.gz", None, files / "mask.nii.gz", tiny_bundle)
    draw = napari_vqad.scoring.draw_sheet

    def slowly(*words):
        monkeypatch.setattr(napari_vqad.scoring, "draw_sheet", draw)
        other.save(out)
        return draw(*words)

    monkeypatch.setattr(napari_vqad.scoring, "draw_sheet", slowly)
    with pytest.raises(InputError, match="holds the maps of another scan"):
        found.save(out)
    assert belongs_to(out, other.volume)
    assert not [name for name in os.listdir(out) if name not in known_files()]


@pytest.mark.parametrize("kind", ["empty", "over-long", "below a file", "a device", "full", "read-only"])
def test_a_place_that_cannot_be_written_to_is_told_before_the_work(
    kind, files, tiny_bundle, no_work, monkeypatch, capsys
):
    (files / "taken").write_text("", encoding="utf-8")
    out = {
        "empty": "",
        "over-long": str(files / ("x" * 300)),
        "below a file": str(files / "taken" / "below"),
        "a device": os.devnull,
        "full": str(files / "full"),
        "read-only": str(files / "sealed" / "out"),
    }[kind]
    (files / "sealed").mkdir()
    if kind == "full":
        free = shutil.disk_usage(files)._replace(free=1000)
        monkeypatch.setattr("napari_vqad.files.space.shutil.disk_usage", lambda _: free)
    if kind == "read-only":  # also for root, who may write anywhere
        make = Path.mkdir

        def sealed(path, *words, **more):
            if "sealed" in path.parts:
                raise OSError(30, "Read-only file system")
            make(path, *words, **more)

        monkeypatch.setattr(Path, "mkdir", sealed)
    before = bytes_of(files)
    words = ["score", str(files / "head.nii.gz"), "-o", out, "--mask", str(files / "mask.nii.gz")]
    assert main([*words, "--bundle", str(tiny_bundle), "--device", "cpu"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("napari-vqad: ")
    assert len(told.strip().splitlines()) == 1
    assert bytes_of(files) == before
    assert {p.name for p in files.iterdir()} == {"head.nii.gz", "mask.nii.gz", "taken", "sealed"}


def test_missing_parents_are_made(files, tiny_bundle):
    run(files / "head.nii.gz", files / "a" / "b" / "c", files / "mask.nii.gz", tiny_bundle)
    assert {p.name for p in (files / "a" / "b" / "c").iterdir()} == set(known_files()) - {
        output_folder.SEGMENTS,
        output_folder.SCORE,
        "novelty.nii.gz",  # of a detector of diffusion scans
    }


def test_the_numbers_hold_the_absolute_path_beside_the_one_typed(files, tiny_bundle, monkeypatch):
    monkeypatch.chdir(files)
    run("head.nii.gz", "out", "mask.nii.gz", tiny_bundle)
    numbers = json.loads((files / "out" / "result.json").read_text(encoding="utf-8"))
    assert numbers["scan"] == "head.nii.gz"
    assert numbers["scan_path"] == str(files / "head.nii.gz")
    assert numbers["scan_shape"] == [30, 32, 28]
