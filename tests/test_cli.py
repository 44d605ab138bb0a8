"""The command line: flags made from Settings, one sentence and exit code 2 for what cannot be used."""

import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from napari_vqad.cli import main
from napari_vqad.detectors.settings import Settings
from napari_vqad.errors import InputError
from napari_vqad.imaging.volume import Volume
from napari_vqad.io.nifti import write_map


@pytest.fixture
def files(head, tmp_path):
    """A folder with head.nii.gz and mask.nii.gz."""
    volume, mask = head
    write_map(tmp_path / "head.nii.gz", volume.voxels, volume)
    write_map(tmp_path / "mask.nii.gz", mask.astype(np.uint8), volume)
    return tmp_path


def score(files, tiny_bundle, *more):
    words = ["score", files / "head.nii.gz", "-o", files / "out", "--mask", files / "mask.nii.gz"]
    return main([str(w) for w in (*words, "--bundle", tiny_bundle, "--device", "cpu", *more)])


def test_score_writes_maps_and_says_so(files, tiny_bundle, capsys):
    assert score(files, tiny_bundle, "-S", 2, "--method", "light", "--lambda-p", "p80", "-k", 1.5) == 0
    told = capsys.readouterr()
    assert "slices" in told.out
    assert str(files / "out") in told.out
    assert "Restorations" in told.err
    numbers = json.loads((files / "out" / "result.json").read_text(encoding="utf-8"))
    chosen = Settings(n_restorations=2, method="light", lambda_p="p80", k=1.5)
    assert Settings(**numbers["settings"]) == chosen


def test_every_setting_has_a_flag(capsys):
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    text = capsys.readouterr().out
    for name in Settings.model_fields:
        assert ("-k" if name == "k" else "--" + name.replace("_", "-")) in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("-S", "31"), "--n-restorations"),
        (("--lambda-p", "p101"), "--lambda-p"),
        (("--lambda-s", "minus"), "--lambda-s"),
        (("--seed", "-1"), "--seed"),
        (("--bundle", "nowhere"), "nowhere"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_what_does_not_fit_is_one_sentence(files, tiny_bundle, capsys, flags, said):
    assert score(files, tiny_bundle, *flags) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert "Traceback" not in told.err
    assert not (files / "out").exists()


def broken(kind, folder):
    """A scan that cannot be used."""
    path, rng = folder / "bad.nii.gz", np.random.default_rng(0)
    cube = rng.normal(size=(8, 8, 8)).astype(np.float32)
    arrays = {
        "2D": cube[0],
        "4D": np.stack([cube] * 3, -1),
        "constant": np.ones_like(cube),
        "all NaN": np.full_like(cube, np.nan),
        "RGB": np.zeros((8, 8, 8), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])),
    }
    if kind in arrays:
        nib.save(nib.Nifti1Image(arrays[kind], np.eye(4)), path)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind in ("truncated", "corrupt"):
        nib.save(nib.Nifti1Image(cube, np.eye(4)), path)
        raw = bytearray(path.read_bytes())
        if kind == "corrupt":
            raw[len(raw) // 2] ^= 0xFF
        path.write_bytes(raw if kind == "corrupt" else raw[: len(raw) // 2])
    return path


KINDS = ["missing", "empty", "truncated", "corrupt", "2D", "4D", "RGB", "constant", "all NaN"]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_scan_is_named_and_nothing_written(kind, tmp_path, tiny_bundle, capsys):
    path = broken(kind, tmp_path)
    assert main(["score", str(path), "-o", str(tmp_path / "out"), "--bundle", str(tiny_bundle)]) == 2
    told = capsys.readouterr()
    assert "bad" in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["other shape", "no voxels"])
def test_bad_mask_is_named(kind, files, tiny_bundle, capsys):
    volume = Volume.from_array(np.zeros((9, 9, 9), np.float32), np.eye(4))
    if kind == "no voxels":
        scan = nib.load(files / "head.nii.gz")
        volume = Volume.from_array(np.zeros(scan.shape, np.float32), scan.affine)
    write_map(files / "mask.nii.gz", volume.voxels, volume)
    assert score(files, tiny_bundle) == 2
    assert "mask" in capsys.readouterr().err
    assert not (files / "out").exists()


def test_debug_shows_the_traceback(tmp_path):
    words = ["score", str(tmp_path / "none.nii"), "-o", str(tmp_path / "out")]
    for argv in (["--debug", *words], [*words, "--debug"]):
        with pytest.raises(InputError):
            main(argv)


@pytest.mark.parametrize(
    "argv", [["train", "--help"], ["evaluate", "--help"], ["calibrate", "--help"], ["demo", "--help"]]
)
def test_commands_explain_themselves(argv, capsys):
    with pytest.raises(SystemExit) as done:
        main(argv)
    assert done.value.code == 0
    assert argv[0] in capsys.readouterr().out


@pytest.mark.parametrize("flags", [[], ["--no-viewer"]])
def test_demo_without_a_screen_writes_the_same_analysis(flags, files, tiny_bundle, monkeypatch, capsys):
    monkeypatch.setattr("napari_vqad.scoring.has_screen", lambda: bool(flags))
    monkeypatch.setattr("napari_vqad.scoring.sample_scan", lambda _name: files / "head.nii.gz")
    monkeypatch.setattr("napari_vqad.scoring.make_mask", lambda volume: (volume.voxels > 0, "Brain mask of the test."))
    out = files / "demo"
    assert main(["demo", *flags, "-o", str(out), "--bundle", str(tiny_bundle), "--device", "cpu"]) == 0
    assert (out / "sheet.png").stat().st_size > 10_000
    told = capsys.readouterr().out
    assert str(out) in told
    assert ("no screen" in told) is not bool(flags)


def test_demo_with_a_screen_opens_the_viewer(monkeypatch, tiny_bundle):
    import napari_vqad.ui.launch

    opened = []
    monkeypatch.setattr("napari_vqad.scoring.has_screen", lambda: True)
    monkeypatch.setattr(napari_vqad.ui.launch, "run", lambda sample, **more: opened.append((sample, more["bundle"])))
    assert main(["demo", "--sample", "healthy", "--bundle", str(tiny_bundle)]) == 0
    assert opened == [("healthy", str(tiny_bundle))]


def test_module_runs_as_the_script():
    done = subprocess.run([sys.executable, "-m", "napari_vqad", "score", "none.nii", "-o", "out"], capture_output=True)
    assert done.returncode == 2
    assert done.stderr.decode().startswith("napari-vqad: none.nii does not exist")
