"""A DICOM scan scored: maps where it lies, findings and score as DICOM, all files or none."""

import json
from dataclasses import replace

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from napari_vqad.cli import main
from napari_vqad.detectors.settings import Settings
from napari_vqad.errors import InputError
from napari_vqad.export.dicom import SCORE, SEGMENTS, export_dicom
from napari_vqad.imaging.location import scanner_mm
from napari_vqad.io.load import load_scan
from napari_vqad.io.nifti import write_map
from napari_vqad.scoring import score

# Sagittal: columns to the back, rows to the feet, slices to the left.
AFFINE = np.array([[0, 0, -4.0, 60], [-4.0, 0, 0, 64], [0, -4.0, 0, 56], [0, 0, 0, 1]])
QUICK = Settings(n_restorations=2, method="light", lambda_p="p20", flag_voxels="p60")


@pytest.fixture
def series(head, make_series, tmp_path):
    """The small head as a sagittal series, and its mask beside it as NIfTI."""
    volume, _ = head
    array = np.flip(volume.voxels.transpose(1, 2, 0)).clip(0).astype(np.uint16)
    folder = make_series(tmp_path / "scan", array, AFFINE)
    scan = load_scan(folder)
    write_map(tmp_path / "mask.nii.gz", (scan.voxels > 0).astype(np.uint8), scan)
    return folder


@pytest.fixture
def result(series, tiny_bundle):
    return score(series, mask=series.parent / "mask.nii.gz", bundle=tiny_bundle, device="cpu", settings=QUICK)


def test_findings_and_score_lie_where_they_are(result, tmp_path):
    written = export_dicom(tmp_path / "out", result.explorer).files
    assert [p.name for p in written] == [SEGMENTS, SCORE]
    found = result.findings()
    assert found
    segments = hd.seg.segread(written[0])
    assert len(segments.SegmentSequence) == len(found)
    for finding, segment in zip(found, segments.SegmentSequence, strict=True):
        side = {"both": "both sides"}.get(finding.side, finding.side)
        assert segment.SegmentLabel == f"Finding {finding.number}, {side}, {finding.where}"
        back = segments.get_volume(segment_numbers=[segment.SegmentNumber], combine_segments=True)
        lps = (np.linalg.inv(back.affine) @ [-finding.centre[0], -finding.centre[1], finding.centre[2], 1])[:3]
        assert back.array[tuple(np.rint(lps).astype(int))], "the middle of a finding is not in its segment"
        assert (back.array > 0).sum() * 0.064 == pytest.approx(finding.ml, rel=0.02)  # mL a voxel of 4 mm
    values = hd.imread(written[1]).get_volume().array
    assert values.max() == pytest.approx(result.map("pixel_score").max())
    assert np.count_nonzero(values) == np.count_nonzero(result.map("pixel_score"))


def test_only_the_findings_that_are_given_are_written(result, tmp_path):
    chosen = result.findings()[1:3]
    segments = hd.seg.segread(export_dicom(tmp_path / "out", result.explorer, chosen).files[0])
    assert [s.SegmentLabel.split(",")[0] for s in segments.SegmentSequence] == ["Finding 2", "Finding 3"]
    written = export_dicom(tmp_path / "out", result.explorer, []).files
    assert [p.name for p in written] == [SCORE]
    assert [p.name for p in (tmp_path / "out").iterdir()] == [SCORE]


def test_the_command_line_picks_a_series_and_writes_dicom(series, make_series, tiny_bundle, tmp_path, capsys):
    make_series(series, np.arange(36, dtype=np.uint16).reshape(3, 3, 4), AFFINE, number=7)
    out = tmp_path / "out"
    words = ["score", series, "-o", out, "--mask", tmp_path / "mask.nii.gz", "--bundle", tiny_bundle, "--device", "cpu"]
    words += ["-S", "2", "--method", "light", "--lambda-p", "p20", "--flag-voxels", "p60"]
    words = list(map(str, words))
    assert main(words) == 2
    assert "holds 2 series; choose one with --series: 3: t1 mprage, 30 slices; 7:" in capsys.readouterr().err
    assert not out.exists()
    assert main([*words, "--series", "3", "--dicom"]) == 0
    assert {SEGMENTS, SCORE, "pixel_score.nii.gz"} <= {p.name for p in out.iterdir()}
    image = nib.load(out / "pixel_score.nii.gz")
    np.testing.assert_allclose(image.affine, load_scan(series, 3).file_affine, atol=1e-4)
    numbers = json.loads((out / "result.json").read_text())
    assert "Doe" not in json.dumps(numbers)
    assert load_scan(numbers["scan"], numbers["series"]).voxels.shape == (30, 32, 28)
    assert main([*words, "--series", "7", "--dicom"]) == 2  # its mask is another's
    assert main([*words, "--series", "3"]) == 0
    assert not {SEGMENTS, SCORE} & {p.name for p in out.iterdir()}, "of the analysis before"


def test_what_did_not_come_from_dicom_is_told_before_the_work(series, tiny_bundle, tmp_path):
    with pytest.raises(InputError, match="mask was not read from DICOM"):
        score(tmp_path / "mask.nii.gz", tmp_path / "out", bundle=tiny_bundle, dicom=True)
    for path in series.iterdir():
        image = dcmread(path)
        del image.FrameOfReferenceUID
        image.save_as(path)
    with pytest.raises(InputError, match="have no FrameOfReferenceUID"):
        score(series, tmp_path / "out", bundle="no such model", dicom=True)
    assert not (tmp_path / "out").exists()


def test_a_piece_between_coarse_voxels_has_one_of_its_own(head, make_series, tiny_bundle, tmp_path):
    volume, _ = head
    affine = AFFINE @ np.diag([1, 1, 3, 1])  # a slice each 12 mm, of a grid of 4 mm
    array = np.flip(volume.voxels.transpose(1, 2, 0)).clip(0).astype(np.uint16)[..., ::3]
    scan = load_scan(make_series(tmp_path / "scan", array, affine))
    settings = QUICK.model_copy(update={"pooling": "none", "flag_voxels": "p100"})  # many small pieces
    found = score(scan, mask=scan.voxels > 0, bundle=tiny_bundle, device="cpu", settings=settings)
    between = [f for f in found.findings() if f.piece.voxels == 1 and not _on_scan(found, f).any()]
    assert between
    one = replace(between[0], number=7)
    written = export_dicom(tmp_path / "out", found.explorer, [one])
    assert written.without == ()
    segments = hd.seg.segread(written.files[0])
    assert segments.SegmentSequence[0].SegmentLabel.startswith("Finding 7,")
    back = segments.get_volume(combine_segments=True)
    (voxel,) = np.argwhere(back.array)
    mm = np.array([-1, -1, 1]) * (back.affine @ [*voxel, 1])[:3]
    assert np.abs(mm - scanner_mm(scan, found.explorer.grid, np.array(one.top))).max() <= 6.01  # half a slice

    written = export_dicom(tmp_path / "out", found.explorer, [one, replace(one, number=8)])
    assert written.without == (8,)
    assert written.notes == ("In findings.dcm finding 8 has no segment, since no voxel of the scan was free there.",)


def _on_scan(result, finding):
    grid = result.explorer.grid
    stack = np.zeros(grid.slices.shape, np.uint8)
    stack[finding.piece.box][finding.piece.inside] = 1
    return grid.to_scan(stack, order=0)


def test_one_that_fails_leaves_neither(result, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    (out / SCORE).write_bytes(b"of before")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hd.seg.Segmentation, "save_as", full)
    with pytest.raises(InputError, match="no space left"):
        export_dicom(out, result.explorer)
    with pytest.raises(InputError, match="no space left"):
        result.save(out, dicom=True, overwrite=True)
    assert [(p.name, p.read_bytes()) for p in out.iterdir()] == [(SCORE, b"of before")]


def test_one_of_the_two_files_and_some_of_the_maps(result, tmp_path):
    out = tmp_path / "out"
    result.save(out, dicom=True)
    result.save(out, dicom=[SCORE], maps=["residual", "nll"])
    names = {p.name for p in out.iterdir()}
    assert {name for name in names if name.endswith((".dcm", ".nii.gz"))} == {SCORE, "nll.nii.gz", "residual.nii.gz"}
    for kwargs in ({"maps": ["dose"]}, {"dicom": ["dose.dcm"]}):
        with pytest.raises(InputError, match=r"There is no .* 'dose.*' to write; choose among"):
            result.save(out, **kwargs)
    assert {p.name for p in out.iterdir()} == names


def test_segments_alone_leave_the_score_that_is_there(result, tmp_path):
    export_dicom(tmp_path, result.explorer)
    before = (tmp_path / SCORE).read_bytes()
    assert [p.name for p in export_dicom(tmp_path, result.explorer, files=[SEGMENTS]).files] == [SEGMENTS]
    assert [p.name for p in export_dicom(tmp_path, result.explorer, [], [SEGMENTS]).files] == []
    assert not (tmp_path / SEGMENTS).exists()
    assert (tmp_path / SCORE).read_bytes() == before
