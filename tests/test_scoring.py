"""One scan scored whole: maps in its own space, numbers that repeat it, all files or none."""

import json

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

import napari_vqad
from napari_vqad.detectors.settings import Settings
from napari_vqad.errors import InputError
from napari_vqad.io.nifti import read_scan
from napari_vqad.scoring import REPORT, TABLE, score

FILES = ("nll", "restoration", "residual", "pixel_score", "flagged")

QUICK = Settings(n_restorations=2, method="light")


@pytest.fixture(scope="module")
def oblique(tmp_path_factory):
    """The file of a head that lies askew, axes in the order S, R, A with P and L, and its mask's file."""
    folder = tmp_path_factory.mktemp("oblique")
    s, r, a = np.meshgrid(*(np.arange(n) - n / 2 for n in (28, 30, 32)), indexing="ij")
    mask = (r / 12) ** 2 + (a / 14) ** 2 + (s / 11) ** 2 < 1
    voxels = np.where(mask, 600 + 80 * np.sin(r / 2) + 40 * np.cos(a), 0).astype(np.int16)
    turn = np.radians(9)
    tilt = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ np.array([[0, -4.0, 0], [0, 0, -4.0], [4.0, 0, 0]])
    affine[:3, 3] = (60, 64, -56)
    for name, array in (("scan", voxels), ("mask", mask.astype(np.uint8))):
        nib.save(nib.Nifti1Image(array, affine), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture(scope="module")
def result(oblique, tiny_bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    (out / "mine.txt").write_text("keep me")
    done = score(
        oblique / "scan.nii.gz",
        out,
        mask=oblique / "mask.nii.gz",
        bundle=tiny_bundle,
        device="cpu",
        settings=QUICK,
    )
    return done, out


def test_writes_all_its_files_and_leaves_others(result):
    _, out = result
    names = {f"{name}.nii.gz" for name in FILES} | {"sheet.png", "result.json", TABLE, REPORT, "mine.txt"}
    assert {f.name for f in out.iterdir()} == names
    assert (out / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize("name", FILES)
def test_maps_lie_where_the_scan_lies(result, oblique, name):
    scan, written = nib.load(oblique / "scan.nii.gz"), nib.load(result[1] / f"{name}.nii.gz")
    assert written.shape == scan.shape
    assert np.array_equal(written.affine, scan.affine)
    inside = np.asarray(nib.load(oblique / "mask.nii.gz").dataobj) > 0
    values = np.asarray(written.dataobj)
    assert np.isfinite(values).all()
    assert not values[~ndimage.binary_dilation(inside, iterations=2)].any(), "something lies outside the brain"


def test_files_hold_what_the_result_maps(result):
    done, out = result
    for name in ("nll", "pixel_score"):
        again = read_scan(out / f"{name}.nii.gz").voxels
        assert np.allclose(again, done.map(name), atol=1e-5)
        assert again.any()


def test_restoration_is_in_the_scans_intensities(result):
    done, _ = result
    restored = done.map("restoration")
    inside = restored[restored > 0]
    scan = done.volume.voxels[done.mask]
    assert abs(inside.mean() - scan.mean()) < 4 * scan.std()
    assert inside.mean() > 100  # the scan's ~600, not SD


def test_numbers_repeat_the_picture(result, oblique, tiny_bundle):
    done, out = result
    numbers = json.loads((out / "result.json").read_text(encoding="utf-8"))
    again = score(
        numbers["scan"],
        mask=oblique / "mask.nii.gz",
        bundle=tiny_bundle,
        device="cpu",
        settings=Settings(**numbers["settings"]),
    )
    assert np.array_equal(again.map("residual"), done.map("residual"))
    assert numbers["bundle"]["sha256"] == done.explorer.bundle.hash
    assert numbers["volume_score"] == pytest.approx(np.nansum(numbers["slice_scores"]), abs=0.1)
    assert len(numbers["slice_scores"]) == len(numbers["slice_mm"]) == len(done.explorer.grid)
    assert numbers["thresholds"]["lambda_p"]["healthy_percentile"] == pytest.approx(90, abs=0.1)
    assert {"mask", "nll", "restoration"} <= set(numbers["seconds"])
    assert {"torch", "napari-vqad"} <= set(numbers["computed"][0]["versions"])


def test_three_lines_of_a_notebook(head, tiny_bundle):
    volume, mask = head
    found = napari_vqad.score(volume, mask=mask, bundle=tiny_bundle, device="cpu", settings=QUICK)
    assert found.map("flagged").shape == volume.voxels.shape
    assert len(found.sheet().axes) > 6
    assert "slices" in found.summary()
    assert f"{len(found.findings())} finding" in found.summary()


def test_failure_leaves_nothing_behind(oblique, tiny_bundle, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / "nll.nii.gz").write_bytes(b"of before")

    def full_disk(*_):
        raise OSError(28, "No space left")

    monkeypatch.setattr("napari_vqad.scoring.draw_sheet", full_disk)
    with pytest.raises(InputError, match="No space left"):
        score(
            oblique / "scan.nii.gz",
            out,
            mask=oblique / "mask.nii.gz",
            bundle=tiny_bundle,
            settings=QUICK,
            overwrite=True,
        )
    assert [f.name for f in out.iterdir()] == ["nll.nii.gz"]
    assert (out / "nll.nii.gz").read_bytes() == b"of before"


def test_out_that_is_a_file_is_refused_before_the_work(oblique, tiny_bundle, tmp_path):
    file = tmp_path / "taken"
    file.write_text("")
    with pytest.raises(InputError, match=r"taken is a file"):
        score(oblique / "scan.nii.gz", file, bundle=tiny_bundle)


def test_slices_that_were_not_asked_for_are_empty(head, tiny_bundle):
    volume, mask = head
    settings = Settings(n_restorations=1, method="light", slices=(8, 10))
    found = score(volume, mask=mask, bundle=tiny_bundle, device="cpu", settings=settings)
    numbers = found.as_dict()
    chosen = [n for n, s in zip(numbers["slice_numbers"], numbers["slice_scores"], strict=True) if s is not None]
    assert chosen == [10, 9, 8]  # from the lowest slice up, counted from the top


def test_a_clip_is_refused(tiny_clips):
    from napari_vqad.io.clips import Clip

    with pytest.raises(InputError, match="walk is a clip; look at it in the viewer"):
        score(Clip("walk", np.zeros((3, 32, 40), np.uint8)).volume(), bundle=tiny_clips)


def test_a_model_of_two_levels_scores_a_scan(oblique, tiny_two, tmp_path):
    settings = Settings(n_restorations=2, lambda_p="p20", level="top")
    done = score(oblique / "scan.nii.gz", tmp_path, mask=oblique / "mask.nii.gz", bundle=tiny_two, settings=settings)
    assert json.loads((tmp_path / "result.json").read_text())["settings"]["level"] == "top"
    other = done.explorer.map("nll").copy()
    done.explorer.change(settings.model_copy(update={"level": "all"}))
    assert (done.explorer.map("nll") != other).any()
    names = {*(f"{n}.nii.gz" for n in FILES), "sheet.png", "result.json", TABLE, REPORT}
    assert {p.name for p in tmp_path.iterdir()} == names


def test_findings_in_numbers_and_table_agree(result):
    done, out = result
    found = json.loads((out / "result.json").read_text())["findings"]
    lines = (out / TABLE).read_text().splitlines()
    assert len(found) == len(lines) - 1 == len(done.findings())
